//! `"profile"`: the latencies of a host that `sim calibrate` measured take the place of the models' own. The resolved scenario has the
//! profile's text instead of its file's name, so that it needs no file.

use std::path::PathBuf;

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
            // A shipped scenario lies nowhere: what the command line names is where the command is.
            let folder = self.source.folder.clone().unwrap_or_else(|| PathBuf::from("."));
            match crate::scenario::read_file(written, &folder.join(written)) {
                Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                Err(error) => return self.error(PATH, format!("{written} {}", error.message), |error| error),
            }
        };
        let profile = serde_json::from_str::<Profile>(&text).map_err(|error| error.to_string());
        let flaw = match &profile {
            Ok(profile) => profile.flaw(),
            Err(error) => Some(error.clone()),
        };
        match (profile, flaw) {
            (Ok(profile), None) => {
                profile.apply(plan);
                let step = manifest::Step::Key(PATH.to_owned());
                manifest::set(&mut self.resolved, &[step], Node::from_json(&text.trim().into())).expect("a scenario is an object");
            }
            (_, flaw) => {
                let message = format!("not a profile: {}", flaw.unwrap_or_default());
                self.error(PATH, message, |error| error.expecting("a file that sim calibrate wrote"));
            }
        }
    }
}
