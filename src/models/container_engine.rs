//! The container engine of a machine.

use super::distribution::Distribution;
use super::presets;

/// How long the container engine takes (facts/failure-models.md section 4).
#[derive(Clone, Debug, PartialEq)]
pub struct RuntimeTimes {
    pub sandbox: Distribution,
    pub create: Distribution,
    pub start: Distribution,
    pub stop: Distribution,
    pub remove: Distribution,
    pub probe: Distribution,
}

impl Default for RuntimeTimes {
    fn default() -> RuntimeTimes {
        RuntimeTimes {
            sandbox: presets::sandbox(),
            create: presets::create(),
            start: presets::start(),
            stop: presets::engine_stop(),
            remove: presets::engine_remove(),
            probe: presets::probe(),
        }
    }
}
