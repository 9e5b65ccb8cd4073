//! Ctrl-C and its like, for whoever has started processes: the first asks a run to end in order, a second ends the program at once, and the
//! processes and payloads that it started end by themselves, since their pipes close. Children begin with the signals blocked that their
//! parent has blocked: they [`allow`] them.

use std::process::exit;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{SigSet, Signal};

use super::threads;

static ASKED: AtomicBool = AtomicBool::new(false);

/// 128 + SIGINT, as a shell tells it.
const INTERRUPTED: i32 = 130;

fn signals() -> SigSet {
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect()
}

/// From now on signals only ask. To be called before any thread begins: each inherits it.
pub fn watch() {
    let signals = signals();
    if signals.thread_block().is_err() {
        return;
    }
    threads::spawn(move || {
        while signals.wait().is_ok() {
            if ASKED.swap(true, Ordering::SeqCst) {
                exit(INTERRUPTED);
            }
        }
    });
}

/// Whether the run is to end.
pub fn asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}

/// Signals end this process again.
pub fn allow() {
    // If it can't be, the process still ends with its standard input.
    let _ = signals().thread_unblock();
}
