//! `"profile"`: the latencies of a host that `sim calibrate` measured take the place of the models' own. The resolved scenario has the
//! profile's text instead of its file's name, so that it needs no file.

use super::Lowering;
use crate::engine::plan::Plan;
use crate::engine::profile::Profile;
use crate::manifest::{self, Node};
use crate::scenario::file::Scenario;

const PATH: &str = "profile";

impl Lowering<'_> {
    pub(super) fn profile(&mut self, scenario: &Scenario, plan: &mut Plan) {
        let Some(written) = &scenario.profile else { return };
        let text = if written.trim_start().starts_with('{') {
            written.clone()
        } else {
            let Some((_, bytes)) = self.read_named(written, PATH) else { return };
            String::from_utf8_lossy(&bytes).into_owned()
        };
        match Profile::parse(&text) {
            Ok(profile) => {
                profile.apply(plan);
                let step = manifest::Step::Key(PATH.to_owned());
                manifest::set(&mut self.resolved, &[step], Node::from_json(&text.trim().into())).expect("a scenario is an object");
            }
            Err(why) => {
                self.error(PATH, format!("not a profile: {why}"), |error| error.expecting("a file that sim calibrate wrote"));
            }
        }
    }
}
