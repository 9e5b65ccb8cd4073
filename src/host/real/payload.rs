//! What runs in a container: a small HTTP server that behaves as the scenario says. It serves from `ready_after` on, ends by itself after
//! `exits_after`, and so long after SIGTERM; it exits at once when its standard input ends, and with the code that it is told there. Told
//! to exhaust its memory, it takes more and more until the kernel ends it. As a sandbox it only waits for the end of its standard input.

use std::io::{self, BufRead, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::process::exit;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration as Span;

use nix::sys::signal::{SigSet, Signal};
use nix::unistd::getpid;
use serde::{Deserialize, Serialize};

use super::addresses::{HEALTH_PORT, SERVICE_PORT};
use super::threads;
use crate::base::Duration;

/// One life of a container.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Life {
    /// The pod's address.
    pub ip: u32,
    /// The container's number in its pod.
    pub index: u16,
    pub ready_after: Duration,
    pub exits_after: Option<(Duration, i32)>,
    pub stops_after: Duration,
    /// How long requests take, in turn.
    pub service_times: Vec<Duration>,
}

/// What it says when it runs.
pub const RUNNING: &str = "running\n";
/// The name of the images that stand for it in manifests.
pub const PAYLOAD: &str = "payload";
/// What a sandbox is told instead of a life.
pub const SANDBOX: &str = "sandbox\n";
/// Takes memory until the kernel's limit.
pub const EXHAUST: &str = "exhaust";
/// The order to exit.
pub fn exit_order(code: i32) -> String {
    format!("exit {code}")
}
/// Taken at a time, and at most: a limit beyond that is not reached.
const MEMORY_PART: usize = 16 << 20;
const MEMORY_MAX: usize = 4 << 30;

/// A request's head is no longer than this.
const HEAD_MAX: usize = 16 << 10;

fn span(duration: Duration) -> Span {
    Span::from_nanos(duration.nanos())
}

/// Lives the life that stands in the first line of its standard input. Never returns but for an input that is no life.
pub fn run() -> io::Result<()> {
    super::interrupt::allow();
    // The first process of a namespace ends with its engine's say; its parent there may be any thread of a long-lived helper.
    if getpid().as_raw() != 1 {
        super::role::die_with_parent();
    }
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    if line == SANDBOX {
        obey();
    }
    let life: Life = serde_json::from_str(&line)?;
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    // Before any thread begins: each inherits it, so that the signal waits for who waits for it.
    signals.thread_block()?;
    threads::spawn(|| obey());
    let stops_after = span(life.stops_after);
    threads::spawn(move || {
        if signals.wait().is_ok() {
            threads::pause(stops_after);
            exit(0);
        }
    });
    io::stdout().write_all(RUNNING.as_bytes())?;
    io::stdout().flush()?;
    if let Some((after, code)) = life.exits_after {
        threads::spawn(move || {
            threads::pause(span(after));
            exit(code);
        });
    }
    threads::pause(span(life.ready_after));
    serve(&life)
}

/// Waits for orders; exits when nobody is there to give them.
fn obey() -> ! {
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        if line.trim() == EXHAUST {
            threads::spawn(exhaust);
        } else if let Some(code) = line.strip_prefix("exit ").and_then(|code| code.trim().parse().ok()) {
            exit(code);
        }
    }
    exit(1);
}

fn exhaust() {
    let mut taken = Vec::new();
    while taken.len() * MEMORY_PART < MEMORY_MAX {
        // Written, or the kernel gives none of it.
        taken.push(vec![1u8; MEMORY_PART]);
    }
    std::hint::black_box(&taken);
}

fn serve(life: &Life) -> io::Result<()> {
    let ip = Ipv4Addr::from(life.ip);
    let times: Arc<[Span]> = life.service_times.iter().copied().map(span).collect();
    let health = TcpListener::bind(SocketAddrV4::new(ip, HEALTH_PORT + life.index))?;
    // The first container of a pod that serves has the port; another's attempt fails and does no harm.
    if let Ok(service) = TcpListener::bind(SocketAddrV4::new(ip, SERVICE_PORT)) {
        let times = Arc::clone(&times);
        threads::spawn(move || answer_all(&service, &times));
    }
    answer_all(&health, &[Span::ZERO]);
    Ok(())
}

fn answer_all(listener: &TcpListener, times: &[Span]) {
    let turn = AtomicUsize::new(0);
    for stream in listener.incoming().flatten() {
        let nth = turn.fetch_add(1, Ordering::Relaxed);
        let takes = times.get(nth % times.len().max(1)).copied().unwrap_or_default();
        threads::spawn(move || {
            // A client that went away is no matter.
            let _ = answer(stream, takes);
        });
    }
}

fn answer(mut stream: TcpStream, takes: Span) -> io::Result<()> {
    stream.set_read_timeout(Some(Span::from_secs(30)))?;
    let mut head = Vec::new();
    let mut part = [0; 1024];
    while !head.windows(4).any(|four| four == b"\r\n\r\n") && head.len() < HEAD_MAX {
        match stream.read(&mut part)? {
            0 => return Ok(()),
            more => head.extend_from_slice(&part[..more]),
        }
    }
    threads::pause(takes);
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n")
}
