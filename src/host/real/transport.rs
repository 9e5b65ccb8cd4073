//! Connections between processes: TCP on loopback. A connection's life is told in the same arrivals as the simulator's.
//!
//! The dialler speaks first: who it is, whom it wants, and the run's token; without the token nothing is answered. Data, keep-alives and
//! an orderly end travel in frames; an end without one is a reset. A cut between two machines that the kernel does not make
//! ([`super::network`]) is made here, at both ends: what is written waits, what comes in waits, dials hang, and the end of a connection is
//! not told until the cut heals and TCP would send it again; so a machine that was killed behind a cut is silent. A slow link holds each message back at the end that
//! sends it, in order, and a lost one as TCP's retransmission would. Where the kernel cuts, TCP's own time-outs are those of the actors.
//!
//! Each side of a connection has a thread that reads and one that writes; the actor is held up by neither. Accepted connections have no
//! keep-alive but etcd's peer streams, whose two ends have the same: the simulator's 150 s of TCP keep-alive are longer than runs here.

use std::io::{self, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration as Span;

use nix::sys::socket::{setsockopt, sockopt::TcpUserTimeout};
use serde::{Deserialize, Serialize};

use super::addresses::Addresses;
use super::arrival::{Arrival, Told};
use super::clock::monotonic;
use super::control::{By, Cut, Links, SlowLink};
use super::{frame, http, threads};
use crate::base::{Cause, Duration, Map, Stream, Time};
use crate::models::network::{RETRANSMISSION, SYN_RETRANSMISSION, next_retransmission};
use crate::proxy::{self, Choice, EndpointLog, NodeTable};
use crate::wire::{Address, CloseReason, Conn, EndpointChange, KeepAlive, MachineId, Message, Server, codec};

/// A dial gives up after 30 s, as in the simulator (net.Dialer of client-go and etcd).
const DIAL_TIMEOUT: Span = Span::from_secs(30);
/// How long a server may take to say whether it is ready, before the next one is asked (ours: the balancer's interval of checks).
const READY_TIMEOUT: Span = Span::from_secs(2);
/// Unsent bytes beyond this: the actor is told to stop (Linux' default maximum of a socket's send buffer, net.ipv4.tcp_wmem).
const HIGH_MARK: usize = 4 << 20;
const LOW_MARK: usize = HIGH_MARK / 2;
/// How often a waiting thread looks at the clock where nothing wakes it (ours): well below the shortest keep-alive of 5 s.
const LOOK: Span = Span::from_millis(250);
/// A message that is lost so often that TCP would wait longer than this arrives (the simulator's model of loss).
const RETRANSMISSION_MAX: u64 = 120_000_000_000;
/// Connections that an actor accepts have numbers from here; those that it dials begin at 1.
const ACCEPTED: u64 = 1 << 62;

/// What a dialler says first.
#[derive(Serialize, Deserialize)]
struct Hello {
    token: u128,
    from: Address,
    to: Address,
    /// A balancer's dial: to be answered whether the server is ready, and only then a connection.
    asks_ready: bool,
    /// etcd's peer streams notice silence the same way at both ends.
    peer: bool,
}

#[derive(Serialize, Deserialize)]
enum Frame {
    Data(Cause, Vec<u8>),
    Ping,
    Pong,
    Fin,
}

/// What the writer of a connection is asked.
enum Order {
    /// Not to be sent before this instant of CLOCK_MONOTONIC.
    Data(Cause, Vec<u8>, u64),
    Pong,
    Close,
}

/// The connections of one actor.
#[derive(Clone)]
pub struct Transport {
    shared: Arc<Shared>,
}

/// What all threads of a transport share.
struct Shared {
    me: Address,
    machine: MachineId,
    token: u128,
    addresses: Addresses,
    told: Told,
    links: Mutex<Map<Conn, Arc<Link>>>,
    http: Mutex<Map<Conn, http::Handle>>,
    cuts: Mutex<Vec<Cut>>,
    slow: Mutex<(Vec<SlowLink>, Stream)>,
    changed: Condvar,
    ready: AtomicBool,
    accepted: AtomicU64,
    next_server: AtomicUsize,
    tables: Mutex<Tables>,
}

/// What a process that dials services knows of them.
struct Tables {
    log: EndpointLog,
    table: NodeTable,
    phase: Duration,
    config: proxy::Config,
    stream: Stream,
}

/// One end of a connection.
struct Link {
    conn: Conn,
    peer: MachineId,
    stream: TcpStream,
    orders: Sender<Order>,
    queued: AtomicUsize,
    blocked: AtomicBool,
    /// CLOCK_MONOTONIC when something last came.
    heard: AtomicU64,
    keep_alive: Option<KeepAlive>,
    /// Nothing more is told of it.
    over: AtomicBool,
}

/// Which troubles of links are asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// Those that are made here, for actors: the kernel sees to the others.
    Ours,
    /// All: whoever is beside the run's network is not met by what the kernel does to it.
    All,
}

impl Whose {
    fn has(self, by_kernel: bool) -> bool {
        self == Whose::All || !by_kernel
    }
    fn cut(self, cuts: &[Cut], from: MachineId, to: MachineId) -> Option<Silence> {
        let those = cuts.iter().filter(|cut| (cut.from, cut.to) == (from, to) && self.has(cut.by == By::Kernel));
        those.map(|cut| if cut.by == By::Standstill { Silence::Keeps } else { Silence::Loses }).max()
    }
}

/// What a cut does to what is sent meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Silence {
    Keeps,
    Loses,
}

/// The wait of something that TCP sends into a cut, or through one that has healed.
struct Wait {
    since: u64,
    /// TCP's first time-out for it.
    first: Duration,
    lost: bool,
    /// When it is sent again, once nothing is cut any more.
    again: Option<u64>,
}

impl Wait {
    fn new(first: Duration) -> Wait {
        Wait { since: monotonic(), first, lost: false, again: None }
    }
    /// How long to wait from now on, with the cut as it is; `None`: it passes.
    fn on(&mut self, cut: Option<Silence>) -> Option<Span> {
        let now = monotonic();
        if let Some(silence) = cut {
            self.lost |= silence == Silence::Loses;
            self.again = None;
            return Some(LOOK);
        }
        if !self.lost {
            return None;
        }
        let time = |nanos| Time::ZERO + Duration::from_nanos(nanos);
        let (since, first) = (self.since, self.first);
        let again = *self.again.get_or_insert_with(|| next_retransmission(time(since), time(now), first).since(Time::ZERO).nanos());
        (now < again).then(|| LOOK.min(Span::from_nanos(again - now)))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no thread of a transport panics while it holds a lock")
}

impl Transport {
    /// `stream`: how the proxy of its machine chooses; `slow`: what slow links draw from.
    pub fn new(
        me: Address,
        token: u128,
        addresses: Addresses,
        told: Told,
        config: proxy::Config,
        mut stream: Stream,
        slow: Stream,
    ) -> Transport {
        let phase = stream.duration_between(Duration::ZERO, config.min_sync_period);
        let tables = Tables { log: EndpointLog::default(), table: NodeTable::default(), phase, config, stream };
        let shared = Arc::new(Shared {
            me,
            machine: addresses.machine(me),
            token,
            // Not all begin with the same server.
            next_server: AtomicUsize::new(addresses.number(me)),
            addresses,
            told,
            links: Mutex::default(),
            http: Mutex::default(),
            cuts: Mutex::default(),
            slow: Mutex::new((Vec::new(), slow)),
            changed: Condvar::new(),
            ready: AtomicBool::new(false),
            accepted: AtomicU64::new(ACCEPTED),
            tables: Mutex::new(tables),
        });
        Transport { shared }
    }
    /// Listens at the actor's address: until then dials are refused, as by a machine on which it does not run.
    pub fn listen(&self) -> io::Result<()> {
        let listener = TcpListener::bind(self.shared.addresses.of(self.shared.me))?;
        let accepting = Arc::clone(&self.shared);
        threads::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&accepting);
                threads::spawn(move || shared.accept(stream));
            }
        });
        Ok(())
    }
    pub fn set_links(&self, links: Links) {
        lock(&self.shared.slow).0 = links.slow;
        *lock(&self.shared.cuts) = links.cuts;
        self.shared.changed.notify_all();
    }
    pub fn set_ready(&self, ready: bool) {
        self.shared.ready.store(ready, Ordering::SeqCst);
    }
    pub fn endpoints(&self, now: Time, cause: Cause, change: EndpointChange) {
        lock(&self.shared.tables).log.append(now, cause, change);
    }
    pub fn dial(&self, now: Time, cause: Cause, conn: Conn, to: Address, keep_alive: KeepAlive) {
        let shared = &self.shared;
        let pod = match to {
            Address::Service(ip) => {
                let mut tables = lock(&shared.tables);
                let Tables { log, table, phase, config, stream } = &mut *tables;
                table.catch_up(log, config, *phase, now, now);
                let (choice, why) = table.choose(ip, stream);
                match choice {
                    Choice::Pod(pod) => Some((pod, why.or(cause))),
                    Choice::Refused => return shared.tell(why.or(cause), Arrival::Refused(conn)),
                }
            }
            Address::Pod(pod) => Some((pod, cause)),
            _ => None,
        };
        let shared = Arc::clone(shared);
        match pod {
            Some((pod, cause)) => {
                let (handle, orders) = http::handle();
                lock(&shared.http).insert(conn, handle);
                threads::spawn(move || {
                    let machine = shared.addresses.machine_of_pod(pod);
                    let pass = |first, limit| {
                        machine.is_none_or(|machine| {
                            threads::pause(shared.held_back(shared.machine, machine, Whose::All));
                            shared.wait_while_cut(machine, first, limit, Whose::All)
                        })
                    };
                    http::serve(&shared.told, cause, conn, pod, &orders, pass);
                    lock(&shared.http).remove(&conn);
                });
            }
            None => threads::spawn(move || shared.dial(cause, conn, to, keep_alive)),
        }
    }
    pub fn write(&self, cause: Cause, conn: Conn, message: &Message) {
        if let Some(handle) = lock(&self.shared.http).get(&conn) {
            return handle.request();
        }
        let Some(link) = lock(&self.shared.links).get(&conn).cloned() else { return };
        let body = codec::encode(message);
        let queued = link.queued.fetch_add(body.len(), Ordering::SeqCst) + body.len();
        let due = monotonic() + self.shared.held_back(self.shared.machine, link.peer, Whose::Ours).as_nanos() as u64;
        // The writer is gone only when the connection is over.
        let _ = link.orders.send(Order::Data(cause, body, due));
        if queued > HIGH_MARK && !link.blocked.swap(true, Ordering::SeqCst) {
            self.shared.tell(cause, Arrival::Blocked(conn));
        }
    }
    pub fn close(&self, conn: Conn) {
        if let Some(handle) = lock(&self.shared.http).remove(&conn) {
            handle.close();
        }
        if let Some(link) = lock(&self.shared.links).remove(&conn) {
            link.over.store(true, Ordering::SeqCst);
            let _ = link.orders.send(Order::Close);
        }
    }
}

impl Shared {
    fn tell(&self, cause: Cause, arrival: Arrival) {
        self.told.tell(cause, arrival);
    }
    /// How much longer than usual something takes from one machine to another.
    fn held_back(&self, from: MachineId, to: MachineId, whose: Whose) -> Span {
        let (links, stream) = &mut *lock(&self.slow);
        let mut nanos = 0;
        for link in links.iter().filter(|link| link.from.contains(&from) && link.to.contains(&to) && whose.has(link.by_kernel)) {
            nanos += link.latency.sample(stream).nanos();
            let mut again = RETRANSMISSION.nanos();
            while again <= RETRANSMISSION_MAX && stream.chance(link.loss) {
                nanos += again;
                again *= 2;
            }
        }
        Span::from_nanos(nanos)
    }
    /// Waits until nothing is cut between here and there, in either direction, and what was lost is sent again. False when that takes longer
    /// than the limit.
    fn wait_while_cut(&self, there: MachineId, first: Duration, limit: Span, whose: Whose) -> bool {
        let (here, mut wait) = (self.machine, Wait::new(first));
        let deadline = wait.since + limit.as_nanos() as u64;
        let mut cuts = lock(&self.cuts);
        while let Some(span) = wait.on(whose.cut(&cuts, here, there).max(whose.cut(&cuts, there, here))) {
            let left = Span::from_nanos(deadline.saturating_sub(monotonic()));
            if left.is_zero() {
                return false;
            }
            (cuts, _) = self.changed.wait_timeout(cuts, span.min(left)).expect("no thread panics with this lock");
        }
        true
    }

    fn accept(self: Arc<Shared>, mut stream: TcpStream) {
        // Whoever connects and says nothing is not waited for.
        let _ = stream.set_read_timeout(Some(READY_TIMEOUT));
        let Ok(Some(hello)) = frame::next::<Hello>(&mut stream) else { return };
        if hello.token != self.token || hello.to != self.me {
            return;
        }
        if hello.asks_ready {
            let ready = self.ready.load(Ordering::SeqCst);
            if frame::write(&mut stream, &ready).is_err() || !ready {
                return;
            }
        }
        let conn = Conn(self.accepted.fetch_add(1, Ordering::SeqCst));
        let keep_alive = hello.peer.then_some(KeepAlive::ETCD_PEER);
        let peer = self.addresses.machine(hello.from);
        self.establish(Cause::NONE, conn, stream, peer, keep_alive, Arrival::Accepted(conn, hello.from));
    }

    fn dial(self: Arc<Shared>, cause: Cause, conn: Conn, to: Address, keep_alive: KeepAlive) {
        let servers: Vec<Address> = self
            .addresses
            .places()
            .iter()
            .map(|(address, _)| *address)
            .filter(|address| matches!(address, Address::Api(Server(_))))
            .collect();
        let balanced = to == Address::ApiBalancer;
        let candidates = if balanced {
            let first = self.next_server.fetch_add(1, Ordering::SeqCst) % servers.len();
            servers.iter().cycle().skip(first).take(servers.len()).copied().collect()
        } else {
            vec![to]
        };
        for target in candidates {
            let machine = self.addresses.machine(target);
            let (patience, whose) = if balanced { (Span::ZERO, Whose::All) } else { (DIAL_TIMEOUT, Whose::Ours) };
            if !self.wait_while_cut(machine, SYN_RETRANSMISSION, patience, whose) {
                if balanced {
                    continue;
                }
                return self.tell(cause, Arrival::Closed(conn, CloseReason::TimedOut));
            }
            // There and back.
            threads::pause(self.held_back(self.machine, machine, Whose::Ours) + self.held_back(machine, self.machine, Whose::Ours));
            match self.connect(target, balanced, keep_alive == KeepAlive::ETCD_PEER) {
                Ok(stream) => return self.establish(cause, conn, stream, machine, Some(keep_alive), Arrival::Opened(conn)),
                Err(error) if error.kind() == io::ErrorKind::TimedOut && !balanced => {
                    return self.tell(cause, Arrival::Closed(conn, CloseReason::TimedOut));
                }
                Err(_) => {}
            }
        }
        self.tell(cause, Arrival::Refused(conn));
    }
    fn connect(&self, to: Address, asks_ready: bool, peer: bool) -> io::Result<TcpStream> {
        let patience = if asks_ready { READY_TIMEOUT } else { DIAL_TIMEOUT };
        let mut stream = TcpStream::connect_timeout(&self.addresses.of(to).into(), patience)?;
        frame::write(&mut stream, &Hello { token: self.token, from: self.me, to, asks_ready, peer })?;
        if asks_ready {
            stream.set_read_timeout(Some(READY_TIMEOUT))?;
            if frame::next::<bool>(&mut stream)? != Some(true) {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
        }
        Ok(stream)
    }
    fn establish(
        self: Arc<Shared>,
        cause: Cause,
        conn: Conn,
        stream: TcpStream,
        peer: MachineId,
        keep_alive: Option<KeepAlive>,
        first: Arrival,
    ) {
        let Ok(own) = set_up(&stream, keep_alive) else { return self.tell(cause, Arrival::Refused(conn)) };
        let (orders, ordered) = channel();
        let link = Arc::new(Link {
            conn,
            peer,
            stream: own,
            orders,
            queued: AtomicUsize::new(0),
            blocked: AtomicBool::new(false),
            heard: AtomicU64::new(monotonic()),
            keep_alive,
            over: AtomicBool::new(false),
        });
        lock(&self.links).insert(conn, Arc::clone(&link));
        self.tell(cause, first);
        let (writing, written) = (Arc::clone(&self), Arc::clone(&link));
        threads::spawn(move || writing.write(&written, &ordered));
        self.read(&link, stream);
    }

    /// The connection is over: told once.
    fn end(&self, link: &Link, reason: CloseReason) {
        if !link.over.swap(true, Ordering::SeqCst) {
            lock(&self.links).remove(&link.conn);
            self.tell(Cause::NONE, Arrival::Closed(link.conn, reason));
        }
        let _ = link.stream.shutdown(Shutdown::Both);
        let _ = link.orders.send(Order::Close);
    }

    fn read(&self, link: &Link, stream: TcpStream) {
        let mut from = io::BufReader::new(stream);
        let mut reason = CloseReason::Reset;
        loop {
            let body = match frame::read(&mut from) {
                Ok(Some(body)) => body,
                Ok(None) => break,
                Err(error) => {
                    if error.kind() == io::ErrorKind::TimedOut {
                        reason = CloseReason::TimedOut;
                    }
                    break;
                }
            };
            self.hold_incoming(link);
            link.heard.store(monotonic(), Ordering::SeqCst);
            match frame::value(&body) {
                Ok(Frame::Data(cause, body)) => match codec::decode(&body) {
                    Ok(message) => self.tell(cause, Arrival::Data(link.conn, message)),
                    Err(_) => break,
                },
                Ok(Frame::Ping) => {
                    let _ = link.orders.send(Order::Pong);
                }
                Ok(Frame::Pong) => {}
                Ok(Frame::Fin) => {
                    reason = CloseReason::Fin;
                    break;
                }
                Err(_) => break,
            }
        }
        self.hold_incoming(link);
        self.end(link, reason);
    }
    /// What comes through a cut waits at this end; a connection that is over meanwhile is not waited for.
    fn hold_incoming(&self, link: &Link) {
        let mut wait = Wait::new(RETRANSMISSION);
        let mut cuts = lock(&self.cuts);
        while let Some(span) = wait.on(Whose::Ours.cut(&cuts, link.peer, self.machine))
            && !link.over.load(Ordering::SeqCst)
        {
            (cuts, _) = self.changed.wait_timeout(cuts, span).expect("no thread panics with this lock");
        }
    }

    fn write(&self, link: &Link, orders: &Receiver<Order>) {
        let mut stream = &link.stream;
        let mut asked = 0;
        loop {
            let order = match orders.recv_timeout(LOOK) {
                Ok(order) => order,
                Err(RecvTimeoutError::Timeout) => {
                    if self.gave_up(link, None) {
                        return;
                    }
                    if Whose::Ours.cut(&lock(&self.cuts), self.machine, link.peer).is_some() {
                        continue;
                    }
                    match self.keep_alive(link, &mut asked) {
                        Err(error) if gives_up(&error) => return self.end(link, CloseReason::TimedOut),
                        Err(_) if link.over.load(Ordering::SeqCst) => return,
                        _ => continue,
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let mut wait = Wait::new(RETRANSMISSION);
            loop {
                let cuts = lock(&self.cuts);
                let Some(span) = wait.on(Whose::Ours.cut(&cuts, self.machine, link.peer)) else { break };
                drop(self.changed.wait_timeout(cuts, span).expect("no thread panics with this lock"));
                if self.gave_up(link, Some(wait.since)) {
                    return;
                }
            }
            let sent = match order {
                Order::Data(cause, body, due) => {
                    let length = body.len();
                    threads::pause(Span::from_nanos(due.saturating_sub(monotonic())));
                    let sent = stream.write_all(&frame::of(&Frame::Data(cause, body)));
                    let left = link.queued.fetch_sub(length, Ordering::SeqCst) - length;
                    if left < LOW_MARK && link.blocked.swap(false, Ordering::SeqCst) && !link.over.load(Ordering::SeqCst) {
                        self.tell(cause, Arrival::Writable(link.conn));
                    }
                    sent
                }
                Order::Pong => stream.write_all(&frame::of(&Frame::Pong)),
                Order::Close => {
                    let _ = stream.write_all(&frame::of(&Frame::Fin));
                    let _ = stream.shutdown(Shutdown::Write);
                    return;
                }
            };
            // A peer that takes nothing for so long is given up; of any other end the reader tells.
            if sent.as_ref().is_err_and(gives_up) {
                return self.end(link, CloseReason::TimedOut);
            }
            if sent.is_err() && link.over.load(Ordering::SeqCst) {
                return;
            }
        }
    }
    /// Asks a peer that has been quiet for the interval.
    fn keep_alive(&self, link: &Link, asked: &mut u64) -> io::Result<()> {
        let Some(keep_alive) = link.keep_alive else { return Ok(()) };
        // etcd's peer streams have three heartbeats in their time-out (rafthttp: ConnReadTimeout / 3).
        let interval = if keep_alive.interval == Duration::ZERO { keep_alive.timeout.nanos() / 3 } else { keep_alive.interval.nanos() };
        let now = monotonic();
        let quiet_since = link.heard.load(Ordering::SeqCst).max(*asked);
        if now.saturating_sub(quiet_since) < interval {
            return Ok(());
        }
        *asked = now;
        (&link.stream).write_all(&frame::of(&Frame::Ping))
    }
    /// Has this end given its silent peer up? `waiting`: since when something waits to be sent through a cut.
    fn gave_up(&self, link: &Link, waiting: Option<u64>) -> bool {
        let Some(keep_alive) = link.keep_alive else { return false };
        let now = monotonic();
        let silent = now.saturating_sub(link.heard.load(Ordering::SeqCst));
        let unacknowledged = waiting.map_or(0, |since| now.saturating_sub(since));
        let limit = keep_alive.unacknowledged.nanos();
        let dead = silent > keep_alive.interval.nanos() + keep_alive.timeout.nanos() || (limit > 0 && unacknowledged > limit);
        if dead {
            self.end(link, CloseReason::TimedOut);
        }
        dead
    }
}

/// The peer took nothing for as long as a write may take, or acknowledged nothing.
fn gives_up(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// A socket as the actors want it; a copy for the thread that writes.
fn set_up(stream: &TcpStream, keep_alive: Option<KeepAlive>) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(None)?;
    if let Some(keep_alive) = keep_alive {
        stream.set_write_timeout(Some(Span::from_nanos((keep_alive.interval + keep_alive.timeout).nanos())))?;
        let millis = keep_alive.unacknowledged.nanos() / 1_000_000;
        setsockopt(stream, TcpUserTimeout, &u32::try_from(millis).unwrap_or(u32::MAX))?;
    }
    stream.try_clone()
}
