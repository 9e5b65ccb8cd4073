//! Floor 10: verbs, flags, exit codes.
