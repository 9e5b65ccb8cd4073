//! Floor 7: JSON to a checked `Plan`.
