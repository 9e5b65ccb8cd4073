//! Limits of the `process` runtime's containers, where this user may set them: control groups of version 1 (a folder a controller) or 2
//! (one for all), below a folder of the run's own. Follows the kernel's `admin-guide/cgroup-v1` and `admin-guide/cgroup-v2`.
//!
//! A container without limits has no group. What a killed run has left is empty by then, and is removed by the next. Left out: groups
//! delegated to users that are not root.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::calibrate::first_number;

/// What a container may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub cpu_milli: Option<u64>,
    pub memory_bytes: Option<u64>,
}

/// The period over which CPU time is counted, in microseconds (the kernel's default, and Docker's).
pub const PERIOD_MICROS: u64 = 100_000;
/// The kernel takes no quota below 1 ms (`kernel/sched/core.c`, min_cfs_quota_period; a kubelet raises a lower one to it, too:
/// `pkg/kubelet/cm/helpers_linux.go`, MinQuotaPeriod), and none above 2^44 - 1 microseconds (MAX_BW).
const QUOTA_MICROS: (u64, u64) = (1000, (1 << 44) - 1);

impl Limits {
    /// The CPU time of each period.
    pub fn quota_micros(&self) -> Option<u64> {
        let (least, most) = QUOTA_MICROS;
        self.cpu_milli.map(|milli| (milli.saturating_mul(PERIOD_MICROS) / 1000).clamp(least, most))
    }
}

/// Where the groups of a run are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Groups {
    folders: Vec<PathBuf>,
    version: u8,
}

/// A container's.
#[derive(Debug)]
pub struct Group {
    folders: Vec<PathBuf>,
    version: u8,
}

/// Where the kernel shows them.
pub fn root() -> &'static Path {
    Path::new("/sys/fs/cgroup")
}

fn name(block: u8) -> String {
    format!("clustersim-{}-{block}", nix::unistd::getuid())
}

impl Groups {
    /// Makes the run's folders below `root`; `None` where that is not permitted.
    pub fn make(root: &Path, block: u8) -> Option<Groups> {
        remove(root, block);
        let groups = if root.join("cgroup.controllers").exists() {
            // The root is the machine's: what it does not hand down, it does not hand down for us either.
            let down = fs::read_to_string(root.join("cgroup.subtree_control")).ok()?;
            let handed_down = |controller| down.split_whitespace().any(|one| one == controller);
            if !["cpu", "memory"].into_iter().all(handed_down) {
                return None;
            }
            Groups { folders: vec![root.join(name(block))], version: 2 }
        } else {
            Groups { folders: ["cpu", "memory"].map(|controller| root.join(controller).join(name(block))).into(), version: 1 }
        };
        let made = groups.folders.iter().all(|folder| fs::create_dir(folder).is_ok());
        let usable = made && (groups.version == 1 || fs::write(groups.folders[0].join("cgroup.subtree_control"), "+cpu +memory").is_ok());
        if !usable {
            remove(root, block);
        }
        usable.then_some(groups)
    }
    /// A group with these limits.
    pub fn group(&self, name: &str, limits: Limits) -> io::Result<Group> {
        let group = Group { folders: self.folders.iter().map(|folder| folder.join(name)).collect(), version: self.version };
        for folder in &group.folders {
            fs::create_dir(folder)?;
        }
        let quota = limits.quota_micros();
        match (self.version, &group.folders[..]) {
            (1, [cpu, memory]) => {
                if let Some(quota) = quota {
                    fs::write(cpu.join("cpu.cfs_period_us"), PERIOD_MICROS.to_string())?;
                    fs::write(cpu.join("cpu.cfs_quota_us"), quota.to_string())?;
                }
                if let Some(bytes) = limits.memory_bytes {
                    fs::write(memory.join("memory.limit_in_bytes"), bytes.to_string())?;
                    // Memory and swap together; a kernel without swap accounting has no such file.
                    let _ = fs::write(memory.join("memory.memsw.limit_in_bytes"), bytes.to_string());
                }
            }
            (_, folders) => {
                if let Some(quota) = quota {
                    fs::write(folders[0].join("cpu.max"), format!("{quota} {PERIOD_MICROS}"))?;
                }
                if let Some(bytes) = limits.memory_bytes {
                    fs::write(folders[0].join("memory.max"), bytes.to_string())?;
                    let _ = fs::write(folders[0].join("memory.swap.max"), "0");
                }
            }
        }
        Ok(group)
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for folder in &self.folders {
            remove_below(folder);
        }
    }
}

impl Group {
    /// Puts a process in, with all that it starts from now on.
    pub fn add(&self, pid: i32) -> io::Result<()> {
        self.folders.iter().try_for_each(|folder| fs::write(folder.join("cgroup.procs"), pid.to_string()))
    }
    /// Whether the kernel has killed something in it for want of memory.
    pub fn out_of_memory(&self) -> bool {
        let file = if self.version == 1 { self.folders[1].join("memory.oom_control") } else { self.folders[0].join("memory.events") };
        first_number(&fs::read_to_string(file).unwrap_or_default(), "oom_kill ") > 0
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for folder in &self.folders {
            // Not empty yet: then it goes with the run.
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Removes what a run of this block has left.
pub fn remove(root: &Path, block: u8) {
    for folder in [root.join(name(block)), root.join("cpu").join(name(block)), root.join("memory").join(name(block))] {
        remove_below(&folder);
    }
}

/// The blocks of which something is left.
pub fn left(root: &Path) -> Vec<u8> {
    let prefix = format!("clustersim-{}-", nix::unistd::getuid());
    let mut blocks = Vec::new();
    for folder in [root.to_owned(), root.join("memory"), root.join("cpu")] {
        let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
        blocks.extend(names.filter_map(|name| name.to_str()?.strip_prefix(&prefix)?.parse::<u8>().ok()));
    }
    blocks.sort_unstable();
    blocks.dedup();
    blocks
}

fn remove_below(folder: &Path) {
    // The kernel's files in it go with it.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let _ = fs::remove_dir(entry.path());
        }
    }
    let _ = fs::remove_dir(folder);
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { cpu_milli: Some(500), memory_bytes: Some(64 << 20) };

    fn read(path: PathBuf) -> String {
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    #[test]
    fn version_one_has_a_folder_a_controller() {
        let root = tempfile::tempdir().expect("a folder");
        for controller in ["cpu", "memory"] {
            fs::create_dir(root.path().join(controller)).expect("a controller");
        }
        let groups = Groups::make(root.path(), 70).expect("it is permitted");
        assert_eq!(left(root.path()), [70]);
        let group = groups.group("one", LIMITS).expect("a group");
        group.add(4711).expect("a process");
        let [cpu, memory] = ["cpu", "memory"].map(|controller| root.path().join(controller).join(name(70)).join("one"));
        assert_eq!(read(cpu.join("cpu.cfs_quota_us")), "50000", "half a core");
        assert_eq!(read(memory.join("memory.limit_in_bytes")), (64 << 20).to_string());
        assert_eq!((read(cpu.join("cgroup.procs")), read(memory.join("cgroup.procs"))), ("4711".to_owned(), "4711".to_owned()));
        fs::write(memory.join("memory.oom_control"), "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n").expect("the kernel's word");
        assert!(group.out_of_memory());
    }

    #[test]
    fn version_two_has_one_folder_for_all() {
        let root = tempfile::tempdir().expect("a folder");
        fs::write(root.path().join("cgroup.controllers"), "cpu memory").expect("the kernel's file");
        let down = root.path().join("cgroup.subtree_control");
        fs::write(&down, "cpuset memory\n").expect("the kernel's file");
        assert_eq!(Groups::make(root.path(), 70), None, "the root does not hand down the CPU");
        assert_eq!(left(root.path()), Vec::<u8>::new());
        fs::write(&down, "cpu memory\n").expect("the kernel's file");
        let groups = Groups::make(root.path(), 70).expect("it is permitted");
        assert_eq!(read(down), "cpu memory\n", "the root is not ours");
        assert_eq!(read(root.path().join(name(70)).join("cgroup.subtree_control")), "+cpu +memory");
        let group = groups.group("one", LIMITS).expect("a group");
        group.add(4711).expect("a process");
        let folder = root.path().join(name(70)).join("one");
        assert_eq!(read(folder.join("cpu.max")), "50000 100000");
        assert_eq!(read(folder.join("memory.max")), (64 << 20).to_string());
        assert_eq!(read(folder.join("cgroup.procs")), "4711");
        fs::write(folder.join("memory.events"), "low 0\noom 3\noom_kill 0\n").expect("the kernel's word");
        assert!(!group.out_of_memory());
    }

    #[test]
    fn a_quota_is_one_that_the_kernel_takes() {
        let quota = |milli| Limits { cpu_milli: Some(milli), ..LIMITS }.quota_micros();
        assert_eq!([500, 10, 9, 0, 64_000].map(quota), [50_000, 1000, 1000, 1000, 6_400_000].map(Some));
        assert_eq!(quota(u64::MAX), Some((1 << 44) - 1));
        assert_eq!(Limits::default().quota_micros(), None);
    }

    #[test]
    fn where_nothing_may_be_made_there_are_no_limits() {
        let root = tempfile::tempdir().expect("a folder");
        assert_eq!(Groups::make(root.path(), 70), None, "no controller is there");
        assert_eq!(left(root.path()), Vec::<u8>::new());
    }
}
