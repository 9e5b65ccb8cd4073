//! What the operating system tells of this process: CPU seconds and peak memory.
//!
//! CPU seconds and not wall time, so that a busy machine does not spoil the figures; the best of several runs, because whatever disturbs
//! a run makes it slower, never faster.

/// CPU seconds of this process' main thread so far, which is its only one. From the scheduler's nanoseconds where the kernel keeps them,
/// else from the clock ticks of `stat`; `None` where there is no `/proc`.
pub fn cpu_seconds() -> Option<f64> {
    scheduled().or_else(ticked)
}
fn scheduled() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/schedstat").ok()?;
    let nanos: u64 = text.split_whitespace().next()?.parse().ok()?;
    (nanos > 0).then_some(nanos as f64 / 1e9)
}
fn ticked() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is a name in parentheses, which may hold spaces; utime and stime are the 14th and 15th.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    // USER_HZ is 100 on every Linux.
    Some((user + system) as f64 / 100.0)
}

/// The most memory that this process ever had in RAM, in bytes.
pub fn peak_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// CPU seconds that `work` takes; from the wall clock where the system tells nothing better.
#[allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "a benchmark measures this machine, not a run")]
pub fn time(work: impl FnOnce()) -> f64 {
    let wall = std::time::Instant::now();
    let before = cpu_seconds();
    work();
    let elapsed = wall.elapsed().as_secs_f64();
    let seconds = before.and_then(|before| Some(cpu_seconds()? - before)).unwrap_or(elapsed);
    // A clock tick is the least that can be told.
    seconds.max(1e-9)
}

/// How fast this machine is at what the simulator does most, in millions a CPU second: dependent integer steps, and reads of memory that
/// no cache holds. Best of five.
pub struct Calibration {
    pub steps: f64,
    pub reads: f64,
}

pub fn calibrate(quick: bool) -> Calibration {
    let rounds = if quick { 5_000_000u64 } else { 50_000_000 };
    // 64 MiB: more than the caches of most machines.
    let words = 1usize << 23;
    let memory: Vec<u64> = (0..words as u64).map(|word| word.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
    let mut best = Calibration { steps: 0.0, reads: 0.0 };
    for _ in 0..5 {
        let mut state = 1u64;
        let seconds = time(|| {
            for _ in 0..rounds {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
            }
        });
        std::hint::black_box(state);
        best.steps = best.steps.max(rounds as f64 / seconds / 1e6);
        let mut at = state;
        let reads = rounds / 10;
        let seconds = time(|| {
            // The number of the read keeps the walk from falling into a short cycle, which caches would hold.
            for read in 0..reads {
                at = memory[(at ^ read.wrapping_mul(0x9e37_79b9_7f4a_7c15)).rotate_left(20) as usize & (words - 1)];
            }
        });
        std::hint::black_box(at);
        best.reads = best.reads.max(reads as f64 / seconds / 1e6);
    }
    best
}
