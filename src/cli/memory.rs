//! How much memory this process may still take: the least of what the machine has, what its control groups leave, and its own limits.
//! Linux tells; elsewhere nothing is known, and nothing is refused.

use std::fs;
use std::path::{Path, PathBuf};

/// Bytes; `None` where nobody tells.
pub fn available() -> Option<u64> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let used = pages_in_use(&read("/proc/self/statm"));
    let groups = control_groups(&read("/proc/self/cgroup"));
    let left: Vec<u64> = machine(&read("/proc/meminfo"))
        .into_iter()
        .chain(limits(&read("/proc/self/limits"), used))
        .chain(groups.iter().filter_map(|group| left_in(group)))
        .collect();
    left.into_iter().min()
}

/// What programs may still take, as the kernel estimates it (proc_meminfo(5), MemAvailable).
fn machine(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

/// (address space, data) in bytes of this process (proc_pid_statm(5): fields 1 and 6, in pages of 4 KiB).
fn pages_in_use(statm: &str) -> (u64, u64) {
    let field = |index: usize| statm.split_whitespace().nth(index).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) << 12;
    (field(0), field(5))
}

/// What `ulimit -v` and `ulimit -d` leave (proc_pid_limits(5), the soft limits).
fn limits(text: &str, (space, data): (u64, u64)) -> Vec<u64> {
    let soft = |name: &str| {
        let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
        rest.split_whitespace().next()?.parse::<u64>().ok()
    };
    let space = soft("Max address space").map(|limit| limit.saturating_sub(space));
    let data = soft("Max data size").map(|limit| limit.saturating_sub(data));
    space.into_iter().chain(data).collect()
}

/// The folders of this process's control groups, inner ones first: version 2, and the memory controller of version 1 (cgroups(7)).
fn control_groups(text: &str) -> Vec<PathBuf> {
    let mut groups = Vec::new();
    for line in text.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let root = match controllers {
            "" => Path::new("/sys/fs/cgroup"),
            _ if controllers.split(',').any(|name| name == "memory") => Path::new("/sys/fs/cgroup/memory"),
            _ => continue,
        };
        let own = root.join(path.trim_start_matches('/'));
        groups.extend(own.ancestors().take_while(|folder| folder.starts_with(root)).map(Path::to_owned));
    }
    groups
}

/// What a control group's limit leaves. Its page cache can be had back, so it does not count.
fn left_in(group: &Path) -> Option<u64> {
    let read = |name: &str| fs::read_to_string(group.join(name)).ok();
    let number = |name: &str| read(name)?.trim().parse::<u64>().ok();
    let limit = number("memory.max").or_else(|| number("memory.limit_in_bytes"))?;
    let used = number("memory.current").or_else(|| number("memory.usage_in_bytes")).unwrap_or(0);
    let statistics = read("memory.stat").unwrap_or_default();
    let cached = |name: &str| statistics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
    let cache = cached("inactive_file ").or_else(|| cached("total_inactive_file ")).unwrap_or(0);
    Some(limit.saturating_sub(used.saturating_sub(cache)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_is_understood() {
        assert_eq!(machine("MemTotal: 9 kB\nMemAvailable:   2048 kB\n"), Some(2 << 20));
        assert_eq!(machine(""), None);
        assert_eq!(pages_in_use("10 9 8 7 0 4 0\n"), (10 << 12, 4 << 12));
        let text = "Limit                     Soft Limit           Hard Limit           Units\n\
                    Max data size             unlimited            unlimited            bytes\n\
                    Max address space         1000000              unlimited            bytes\n";
        assert_eq!(limits(text, (400_000, 1)), [600_000]);
        let groups = control_groups("0::/user/run\n3:cpu,memory:/job\n2:pids:/other\n");
        let wanted =
            ["/sys/fs/cgroup/user/run", "/sys/fs/cgroup/user", "/sys/fs/cgroup", "/sys/fs/cgroup/memory/job", "/sys/fs/cgroup/memory"];
        assert_eq!(groups, wanted.map(PathBuf::from));
    }

    #[test]
    fn a_groups_limit_leaves_what_is_not_used_but_by_caches() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(left_in(folder.path()), None);
        fs::write(folder.path().join("memory.max"), "max\n").unwrap();
        assert_eq!(left_in(folder.path()), None);
        for (name, text) in [("memory.max", "1000\n"), ("memory.current", "700\n"), ("memory.stat", "anon 500\ninactive_file 200\n")] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        assert_eq!(left_in(folder.path()), Some(500));
    }
}
