//! Floor 5: the loop that drives actors over a host, the plan that it is given and the record that it leaves; faults, expectations and
//! invariants.

pub mod plan;
pub mod record;
