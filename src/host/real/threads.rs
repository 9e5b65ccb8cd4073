//! The one door to threads and pauses: beneath the actors things happen at the same time, and the journal keeps the order in which they
//! came.

use std::time::Duration;

#[expect(clippy::disallowed_methods, reason = "sockets, disks and children are waited for beside the actor, whose own order is journalled")]
pub fn spawn(work: impl FnOnce() + Send + 'static) {
    std::thread::spawn(work);
}

#[expect(clippy::disallowed_methods, reason = "this host waits in real time")]
pub fn pause(span: Duration) {
    std::thread::sleep(span);
}

/// Does this in a thread of its own and waits for it: what a thread changes of itself, its network namespace say, is gone with it.
#[expect(clippy::disallowed_methods, reason = "it is waited for: nothing happens beside it")]
pub fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(work).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
