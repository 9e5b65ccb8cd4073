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
