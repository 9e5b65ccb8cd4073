//! Floor 6: hosts: what lies beneath the actors. [`sim`] jumps through time.
pub mod sim;
