//! Requests to pods: HTTP/1.1, a connection each; and the probes.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration as Span;

use super::addresses::SERVICE_PORT;
use super::arrival::{Arrival, Told};
use crate::base::{Cause, Duration};
use crate::models::network::{RETRANSMISSION, SYN_RETRANSMISSION};
use crate::objects::pod::PodIp;
use crate::wire::{CloseReason, Conn, Message};

/// A dial gives up after this, and so does a connection that its client has forgotten (client-go's dialer).
const PATIENCE: Span = Span::from_secs(30);
/// An answer is longer only if a program is not ours: what is beyond is not read.
const ANSWER_MAX: u64 = 1 << 20;

/// How the actor's side of a request reaches its thread.
pub struct Handle {
    orders: Sender<()>,
    stream: Arc<Mutex<Option<TcpStream>>>,
}

/// The thread's side.
pub struct Orders {
    requested: Receiver<()>,
    stream: Arc<Mutex<Option<TcpStream>>>,
}

pub fn handle() -> (Handle, Orders) {
    let (orders, requested) = channel();
    let stream = Arc::new(Mutex::new(None));
    (Handle { orders, stream: Arc::clone(&stream) }, Orders { requested, stream })
}

impl Handle {
    pub fn request(&self) {
        // A thread that is gone has told why.
        let _ = self.orders.send(());
    }
    /// The client has had enough: what is read or written now fails.
    pub fn close(self) {
        if let Some(stream) = &*self.stream.lock().expect("no thread panics with this lock") {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// One request's life: dial, send when told to, read the answer. `pass` waits until no cut stands between and TCP, whose first time-out is
/// this, sends again, at most so long.
pub fn serve(told: &Told, cause: Cause, conn: Conn, pod: PodIp, orders: &Orders, pass: impl Fn(Duration, Span) -> bool) {
    let tell = |arrival| told.tell(cause, arrival);
    if !pass(SYN_RETRANSMISSION, PATIENCE) {
        return tell(Arrival::Closed(conn, CloseReason::TimedOut));
    }
    let mut stream = match connect(pod, SERVICE_PORT, PATIENCE) {
        Ok(stream) => stream,
        Err(error) if error.kind() == io::ErrorKind::TimedOut => return tell(Arrival::Closed(conn, CloseReason::TimedOut)),
        Err(_) => return tell(Arrival::Refused(conn)),
    };
    *orders.stream.lock().expect("no thread panics with this lock") = stream.try_clone().ok();
    tell(Arrival::Opened(conn));
    // The client closed it, or never asked.
    if orders.requested.recv_timeout(PATIENCE).is_err() || !pass(RETRANSMISSION, PATIENCE) {
        return;
    }
    let answered = ask(&mut stream, "/", PATIENCE);
    // The answer of a pod behind a cut waits until that heals.
    if !pass(RETRANSMISSION, PATIENCE) {
        return tell(Arrival::Closed(conn, CloseReason::TimedOut));
    }
    match answered {
        Ok(200) => tell(Arrival::Data(conn, Message::HttpResponse)),
        _ => tell(Arrival::Closed(conn, CloseReason::Reset)),
    }
}

/// Asks a container for its health.
pub fn healthy(pod: PodIp, port: u16, path: &str, timeout: Span) -> bool {
    // As a kubelet's probe: any status from 200 to 399.
    connect(pod, port, timeout).and_then(|mut stream| ask(&mut stream, path, timeout)).is_ok_and(|status| (200..400).contains(&status))
}

/// How long what stands before a port (a proxy that publishes it) may take to find that nobody listens behind it (ours).
const BEHIND: Span = Span::from_millis(100);

/// Whether something listens there: what accepts and ends the connection at once does not.
pub fn accepts(pod: PodIp, port: u16, timeout: Span) -> bool {
    let Ok(mut stream) = connect(pod, port, timeout) else { return false };
    if stream.set_read_timeout(Some(BEHIND)).is_err() {
        return false;
    }
    match stream.read(&mut [0]) {
        Ok(read) => read > 0,
        Err(error) => matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
    }
}

fn connect(pod: PodIp, port: u16, timeout: Span) -> io::Result<TcpStream> {
    let address = SocketAddrV4::new(Ipv4Addr::from(pod.0), port);
    TcpStream::connect_timeout(&address.into(), timeout.max(Span::from_millis(1)))
}

/// Sends a GET and reads the whole answer; its status.
fn ask(stream: &mut TcpStream, path: &str, timeout: Span) -> io::Result<u16> {
    stream.set_read_timeout(Some(timeout.max(Span::from_millis(1))))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX).read_to_end(&mut answer)?;
    let text = String::from_utf8_lossy(&answer);
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.ok_or_else(|| io::ErrorKind::InvalidData.into())
}
