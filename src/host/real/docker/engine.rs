//! A container engine behind its socket (Docker's Engine API, 1.41 and later), and what of it is ours: everything that a run makes carries
//! labels with the user's folder of runs on this machine, the run's block and its own name, so that what a killed run has left is told
//! apart from what lives and from what is somebody else's, which is never touched.

use std::future::Future;
use std::io;
use std::path::Path;
use std::time::Duration as Span;

use bollard::models::{ImageSummary, NetworkCreateRequest};
use bollard::query_parameters::{
    CreateImageOptionsBuilder, ListContainersOptionsBuilder, ListImagesOptionsBuilder, ListNetworksOptionsBuilder,
    RemoveContainerOptionsBuilder, RemoveImageOptionsBuilder,
};
use bollard::{API_DEFAULT_VERSION, ClientVersion, Docker};
use futures_util::{StreamExt, future::join_all};
use tokio::runtime::{Builder, Runtime};

use crate::base::digest::stable_hash;
use crate::host::real::folder::{self, Folder};

/// Whose folder of runs a thing belongs to: a digest of the machine's name and the path.
const HOME: &str = "clustersim.home";
/// Which block of it.
const BLOCK: &str = "clustersim.block";
/// Which run.
pub(super) const RUN: &str = "clustersim.run";

/// What an error calls it.
const CONTAINER: &str = "a container";

/// The oldest version of the API that we know: that of Debian 12's engine.
const OLDEST: &ClientVersion = &ClientVersion { major_version: 1, minor_version: 41 };
/// No request takes longer (ours): a start on a machine that is overloaded tenfold takes some seconds.
const TIMEOUT_SECS: u64 = 60;
/// Whether a socket answers must be known soon (ours).
const ANSWER_TIMEOUT: Span = Span::from_secs(5);

/// An engine that answers, and the loop that talks with it.
pub struct Engine {
    pub docker: Docker,
    pub version: String,
    runtime: Runtime,
}

/// The labels of a run.
#[derive(Clone, Debug)]
pub struct Labels {
    pub home: String,
    pub block: u8,
    pub run: String,
}

impl Labels {
    /// Of the run that has this folder; `token` makes its name one that no other run has had.
    pub fn new(folder: &Folder, token: u128) -> Labels {
        let run = format!("{}-{:012x}", folder.block(), stable_hash(&token) & 0xffff_ffff_ffff);
        Labels { home: home(), block: folder.block(), run }
    }
    pub fn all(&self) -> Vec<(String, String)> {
        [(HOME, self.home.clone()), (BLOCK, self.block.to_string()), (RUN, self.run.clone())]
            .map(|(key, value)| (key.to_owned(), value))
            .into()
    }
}

/// This user's folder of runs on this machine. Machines, and containers with folders of their own, may share an engine: equal paths are not
/// the same folder then, and what one has no lock of may live in the other.
fn home() -> String {
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{:016x}", stable_hash(&(machine.trim(), folder::home().to_string_lossy())))
}

/// What is ours on an engine: containers, networks and images by id, with the block that they are of.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub containers: Vec<(String, u8)>,
    pub networks: Vec<(String, u8)>,
    pub images: Vec<(String, u8)>,
}

impl Found {
    pub fn blocks(&self) -> Vec<u8> {
        let mut blocks: Vec<u8> = [&self.containers, &self.networks, &self.images].into_iter().flatten().map(|(_, block)| *block).collect();
        blocks.sort_unstable();
        blocks.dedup();
        blocks
    }
}

fn failed(what: &str, error: bollard::errors::Error) -> io::Error {
    io::Error::other(format!("{what}: {error}"))
}

impl Engine {
    /// The engine behind a socket; an error if none answers there.
    pub fn connect(socket: &Path) -> io::Result<Engine> {
        let runtime = Builder::new_multi_thread().worker_threads(2).thread_name("docker").enable_all().build()?;
        let (docker, version) = runtime.block_on(async {
            let negotiated = tokio::time::timeout(ANSWER_TIMEOUT, negotiated(socket)).await;
            negotiated.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, format!("nothing answers at {}", socket.display()))))
        })?;
        Ok(Engine { docker, version, runtime })
    }
    pub fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(work);
    }

    /// Everything here that carries the label of this user's folder of runs; `run`: of this run alone.
    pub fn ours(&self, run: Option<&str>) -> io::Result<Found> {
        let label = match run {
            Some(run) => format!("{RUN}={run}"),
            None => format!("{HOME}={}", home()),
        };
        let filters = [("label".to_owned(), vec![label])].into_iter().collect();
        let block = |labels: Option<&String>| labels.and_then(|block| block.parse().ok()).unwrap_or_default();
        self.wait(async {
            let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
            let containers = self.docker.list_containers(Some(options)).await.map_err(|error| failed("containers", error))?;
            let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
            let networks = self.docker.list_networks(Some(options)).await.map_err(|error| failed("networks", error))?;
            let options = ListImagesOptionsBuilder::new().filters(&filters).build();
            let images = self.docker.list_images(Some(options)).await.map_err(|error| failed("images", error))?;
            let of_image = |image: ImageSummary| {
                let block = block(image.labels.get(BLOCK));
                let names = if image.repo_tags.is_empty() { vec![image.id] } else { image.repo_tags };
                names.into_iter().map(move |name| (name, block))
            };
            Ok(Found {
                containers: containers
                    .into_iter()
                    .filter_map(|one| Some((one.id?, block(one.labels.as_ref().and_then(|labels| labels.get(BLOCK))))))
                    .collect(),
                networks: networks
                    .into_iter()
                    .filter_map(|one| Some((one.id?, block(one.labels.as_ref().and_then(|labels| labels.get(BLOCK))))))
                    .collect(),
                images: images.into_iter().flat_map(of_image).collect(),
            })
        })
    }
    /// Removes what was found, if `which` says so of its block: containers first, since they hold the others. What is gone already is no
    /// error; one that can't be removed keeps none of the others, and the first error is told at the end.
    pub fn remove(&self, found: &Found, which: impl Fn(u8) -> bool) -> io::Result<()> {
        let ids = |list: &[(String, u8)]| list.iter().filter(|(_, block)| which(*block)).map(|(id, _)| id.clone()).collect::<Vec<_>>();
        let (containers, networks, images) = (ids(&found.containers), ids(&found.networks), ids(&found.images));
        self.wait(async {
            let mut outcome = Ok(());
            let mut note = |what: &str, result: Result<(), bollard::errors::Error>| {
                let Err(error) = result else { return };
                let gone = match &error {
                    bollard::errors::Error::DockerResponseServerError { status_code: 404, .. } => true,
                    // Its removal is in progress; of an image it means that somebody uses it.
                    bollard::errors::Error::DockerResponseServerError { status_code: 409, .. } => what == CONTAINER,
                    _ => false,
                };
                if !gone && outcome.is_ok() {
                    outcome = Err(failed(what, error));
                }
            };
            let removed = containers.iter().map(|id| async move {
                // A frozen one can't be killed: the engine thaws it when it is told to kill.
                let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
                self.docker.remove_container(id, Some(options)).await
            });
            for result in join_all(removed).await {
                note(CONTAINER, result);
            }
            for id in &networks {
                note("a network", self.docker.remove_network(id).await);
            }
            for id in &images {
                let options = RemoveImageOptionsBuilder::new().force(true).build();
                note("an image", self.docker.remove_image(id, Some(options), None).await.map(drop));
            }
            outcome
        })
    }

    /// Removes what runs have left whose block is `dead`; which those were.
    pub fn clean(&self, dead: impl Fn(u8) -> bool) -> io::Result<Vec<u8>> {
        let found = self.ours(None)?;
        let blocks: Vec<u8> = found.blocks().into_iter().filter(|block| dead(*block)).collect();
        self.remove(&found, |block| blocks.contains(&block))?;
        Ok(blocks)
    }

    /// A bridge of the run's own.
    pub fn make_network(&self, name: &str, labels: &Labels) -> io::Result<()> {
        let request = NetworkCreateRequest {
            name: name.to_owned(),
            driver: Some("bridge".to_owned()),
            labels: Some(labels.all().into_iter().collect()),
            // Nothing of it is to reach beyond this machine.
            options: Some([("com.docker.network.bridge.enable_ip_masquerade".to_owned(), "false".to_owned())].into_iter().collect()),
            ..NetworkCreateRequest::default()
        };
        self.wait(self.docker.create_network(request)).map(drop).map_err(|error| failed("the run's network", error))
    }
    /// Makes an image of a root folder's tar.
    pub fn load(&self, name: &str, tag: &str, rootfs: Vec<u8>, labels: &Labels) -> io::Result<()> {
        let mut changes: Vec<String> = labels.all().into_iter().map(|(key, value)| format!("LABEL {key}={value}")).collect();
        changes.push(format!("ENV LD_LIBRARY_PATH={}", super::image::LIBRARIES));
        changes.push(format!("ENTRYPOINT [\"{}\",\"payload\"]", super::image::PROGRAM));
        let options = CreateImageOptionsBuilder::new().from_src("-").repo(name).tag(tag).changes(changes).build();
        self.wait(async {
            let mut told = std::pin::pin!(self.docker.create_image(Some(options), Some(bollard::body_full(rootfs.into())), None));
            while let Some(line) = told.next().await {
                line.map_err(|error| failed("the payload's image", error))?;
            }
            Ok(())
        })
    }
}

/// A connection that speaks the newest version that both sides know. An engine refuses what is newer than itself and what is much older.
async fn negotiated(socket: &Path) -> io::Result<(Docker, String)> {
    let mut refusal = None;
    for version in [API_DEFAULT_VERSION, OLDEST] {
        let docker = Docker::connect_with_unix(&socket.to_string_lossy(), TIMEOUT_SECS, version);
        let docker = docker.map_err(|error| failed("no engine", error))?;
        match docker.negotiate_version().await {
            Ok(docker) => {
                let about = docker.version().await.map_err(|error| failed("its version", error))?;
                let spoken = docker.client_version();
                let name = about.version.unwrap_or_default();
                return Ok((docker, format!("{name}, API {}.{}", spoken.major_version, spoken.minor_version)));
            }
            Err(error) => refusal = Some(failed(&socket.display().to_string(), error)),
        }
    }
    Err(refusal.unwrap_or_else(|| io::Error::other("no version was tried")))
}
