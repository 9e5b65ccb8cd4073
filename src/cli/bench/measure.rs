//! What the operating system tells of this process: CPU seconds and peak memory.
//!
//! CPU seconds and not wall time, so that a busy machine does not spoil the figures ([`time`] tells where that cannot be had); the best of
//! several runs, because whatever disturbs a run makes it slower, never faster.

/// CPU seconds of this process' main thread so far, which is its only one, from the scheduler's nanoseconds; `None` where the kernel does not
/// keep them or there is no `/proc`.
fn scheduled() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/schedstat").ok()?;
    let nanos: u64 = text.split_whitespace().next()?.parse().ok()?;
    (nanos > 0).then_some(nanos as f64 / 1e9)
}
/// The same from the clock ticks of `stat`.
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

/// Below this, ticks of 10 ms are too coarse: 0.3 s are 30 of them, an error of 3 %.
const COARSE: f64 = 0.3;

/// CPU seconds that `work` takes. From the wall clock where the system keeps no nanoseconds and the work is too short for clock ticks:
/// what else the machine does then counts too, but a run of a few milliseconds would else be told as none or as a whole tick.
#[expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "a benchmark measures this machine, not a run")]
pub fn time(work: impl FnOnce()) -> f64 {
    let wall = std::time::Instant::now();
    let before = (scheduled(), ticked());
    work();
    let elapsed = wall.elapsed().as_secs_f64();
    choose((before.0, scheduled()), (before.1, ticked()), elapsed)
}

/// The best of what was told before and after: nanoseconds, ticks, and the wall clock.
fn choose(scheduled: (Option<f64>, Option<f64>), ticked: (Option<f64>, Option<f64>), elapsed: f64) -> f64 {
    let between = |(before, after): (Option<f64>, Option<f64>)| Some(after? - before?);
    // A counter that stands still is kept by nobody.
    let fine = between(scheduled).filter(|seconds| *seconds > 0.0);
    let coarse = between(ticked).filter(|seconds| *seconds >= COARSE);
    // No work takes less than a nanosecond; rates are quotients.
    fine.or(coarse).unwrap_or(elapsed).max(1e-9)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_work_is_not_told_in_clock_ticks() {
        let ticks = |after| (Some(1.0), Some(after));
        assert_eq!(choose((None, None), ticks(1.0), 0.004), 0.004, "less than a tick");
        assert_eq!(choose((None, None), ticks(1.01), 0.004), 0.004, "a tick ended within");
        assert_eq!(choose((None, None), ticks(3.0), 5.0), 2.0, "long work: ticks are exact enough, and a busy machine doesn't count");
        assert_eq!(choose((Some(0.5), Some(0.503)), ticks(1.01), 0.004), 0.503 - 0.5, "nanoseconds are best");
        assert_eq!(choose((Some(0.5), Some(0.5)), ticks(1.0), 0.004), 0.004, "a counter that stands still");
    }
}
