//! Floor 4: open-loop clients.
