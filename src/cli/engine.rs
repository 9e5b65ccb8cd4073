//! `--runtime`: which container runtime a real run uses, and what earlier runs have left in any of them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::Outcome;
use crate::engine::plan::Plan;
use crate::host::real::cgroup;
use crate::host::real::docker::engine::Engine;
use crate::host::real::folder::Folder;
use crate::host::real::network::{self, Wanted};
use crate::host::real::runtime::Kind;
use crate::host::real::supervisor::{self, Options};

/// Where an engine listens unless the environment says otherwise.
const SOCKET: &str = "/var/run/docker.sock";

/// What `--runtime` takes.
pub const NAMES: [&str; 3] = ["auto", "docker", "process"];

/// What `--links` takes.
pub const LINKS: [(&str, Wanted); 3] = [("auto", Wanted::Auto), ("kernel", Wanted::Kernel), ("transport", Wanted::Transport)];

/// The engine's socket: that of DOCKER_HOST, as Docker's own client has it, or the usual one where that is unset or empty. An error if it
/// names an engine elsewhere: the usual one is not the one that is meant.
#[expect(clippy::disallowed_methods, reason = "where this user's engine listens, the environment says")]
fn socket() -> Result<PathBuf, String> {
    let host = std::env::var_os("DOCKER_HOST").unwrap_or_default().to_string_lossy().into_owned();
    match host.strip_prefix("unix://") {
        Some(path) => Ok(path.into()),
        None if host.is_empty() => Ok(SOCKET.into()),
        None => Err(format!("DOCKER_HOST is \"{host}\": only an engine on this machine can be used, behind unix://PATH")),
    }
}

/// The runtime for what starts now. What killed runs have left goes first, whichever runtime they used: on an engine, if one answers.
pub fn fresh(asked: &str) -> Result<Kind, String> {
    let chosen = choose(asked)?;
    // Whom an engine does not answer has nothing on it now that could be in the way.
    let engine = socket().ok().filter(|socket| socket.exists()).and_then(|socket| Engine::connect(&socket).ok());
    if let Err(error) = remove_left(engine.as_ref()) {
        eprintln!("warning: what earlier runs left stays: {error}");
    }
    Ok(chosen)
}

/// The runtime that is meant; `auto` is Docker if its socket answers.
fn choose(asked: &str) -> Result<Kind, String> {
    if asked == "process" {
        return Ok(Kind::Process);
    }
    match (socket(), asked) {
        (Ok(socket), "docker") => match Engine::connect(&socket) {
            Ok(_) => Ok(Kind::Docker(socket)),
            Err(error) => Err(format!("no Docker engine: {error} (--runtime process needs none)")),
        },
        (Err(error), "docker") => Err(format!("{error} (--runtime process needs none)")),
        (Ok(socket), _) if socket.exists() && Engine::connect(&socket).is_ok() => Ok(Kind::Docker(socket)),
        (Ok(_), _) => Ok(Kind::Process),
        (Err(error), _) => {
            eprintln!("warning: {error}; containers are processes");
            Ok(Kind::Process)
        }
    }
}

/// How a real run is played, with journals below `out`. What can't be is told, and the exit status given: a plan that has what can only be
/// simulated, a runtime that is not there.
pub fn options(plan: &Plan, runtime: &str, links: &str, out: Option<&Path>) -> Result<Options, Outcome> {
    let unsupported = supervisor::unsupported(plan);
    if !unsupported.is_empty() {
        unsupported.iter().for_each(|why| eprintln!("error: {why}"));
        return Err(Outcome::BadInput);
    }
    match fresh(runtime) {
        Ok(runtime) => {
            let links: Wanted = LINKS.into_iter().find_map(|(name, wanted)| (name == links).then_some(wanted)).unwrap_or_default();
            if links == Wanted::Kernel
                && let Err(error) = network::is_lent()
            {
                eprintln!("error: the kernel lends no network: {error} (--links transport needs none)");
                return Err(Outcome::Lacking);
            }
            Ok(Options { journals: out.map(|out| out.join("processes")), runtime, links, ..Options::default() })
        }
        Err(error) => {
            eprintln!("error: {error}");
            Err(Outcome::Lacking)
        }
    }
}

/// Removes what runs that are gone have left, here and on the engine; how many runs those were.
pub fn clean() -> std::io::Result<usize> {
    let engine = match socket() {
        Ok(socket) if !socket.exists() => None,
        Ok(socket) => Some(Engine::connect(&socket).map_err(|error| error.to_string())),
        Err(error) => Some(Err(error)),
    };
    if let Some(Err(error)) = &engine {
        eprintln!("warning: what may be left on the container engine stays: {error}");
    }
    remove_left(engine.and_then(Result::ok).as_ref())
}

fn remove_left(engine: Option<&Engine>) -> std::io::Result<usize> {
    // A run has a folder, perhaps containers and control groups, and is one all the same. Folders first: to look whether a run is dead
    // removes its.
    let mut blocks: BTreeSet<u8> = Folder::clean()?.into_iter().collect();
    for block in cgroup::left(cgroup::root()).into_iter().filter(|block| Folder::is_dead(*block)) {
        cgroup::remove(cgroup::root(), block);
        blocks.insert(block);
    }
    if let Some(engine) = engine {
        blocks.extend(engine.clean(Folder::is_dead)?);
    }
    Ok(blocks.len())
}
