//! Floor 6: hosts: what lies beneath the actors. [`sim`] jumps through time, [`real`] waits on the wall clock and does it for real.
mod prepare;
pub mod real;
pub mod sim;
