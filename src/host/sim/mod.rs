//! The host that jumps through time and models network, disk and containers.
