//! `--runtime`: which container runtime a real run uses.

use std::path::PathBuf;

use crate::host::real::cgroup;
use crate::host::real::docker::engine::Engine;
use crate::host::real::folder::{self, Folder};
use crate::host::real::runtime::Kind;

/// Where an engine listens unless the environment says otherwise.
const SOCKET: &str = "/var/run/docker.sock";

/// What `--runtime` takes.
pub const NAMES: [&str; 3] = ["auto", "docker", "process"];

/// The engine's socket: that of DOCKER_HOST, as Docker's own client has it, or the usual one.
#[expect(clippy::disallowed_methods, reason = "where this user's engine listens, the environment says")]
fn socket() -> PathBuf {
    let named = std::env::var("DOCKER_HOST").ok().and_then(|host| host.strip_prefix("unix://").map(PathBuf::from));
    named.unwrap_or_else(|| SOCKET.into())
}

/// The runtime that is meant; `auto` is Docker if its socket answers.
pub fn choose(asked: &str) -> Result<Kind, String> {
    let socket = socket();
    match asked {
        "process" => Ok(Kind::Process),
        "docker" => match Engine::connect(&socket) {
            Ok(_) => Ok(Kind::Docker(socket)),
            Err(error) => Err(format!("no Docker engine: {error} (--runtime process needs none)")),
        },
        _ if socket.exists() && Engine::connect(&socket).is_ok() => Ok(Kind::Docker(socket)),
        _ => Ok(Kind::Process),
    }
}

/// Removes what runs that are gone have left, here and on the engine; how many runs those were.
pub fn clean() -> std::io::Result<usize> {
    let socket = socket();
    let mut on_engine = 0;
    if socket.exists() {
        match Engine::connect(&socket) {
            Ok(engine) => on_engine = engine.clean(&folder::home().to_string_lossy(), Folder::is_dead)?,
            Err(error) => eprintln!("warning: what may be left on the container engine stays: {error}"),
        }
    }
    for block in cgroup::left(cgroup::root()).into_iter().filter(|block| Folder::is_dead(*block)) {
        cgroup::remove(cgroup::root(), block);
    }
    // A run has a folder and perhaps containers: it is one all the same. Looking for the dead has removed their folders.
    Ok(Folder::clean()?.max(on_engine))
}
