//! Connections: streams between processes, first in first out, over links that delay and may be cut.
//!
//! A process that dies resets its connections one network delay later. A machine that dies or is cut off says nothing: the peer learns it
//! by its own keep-alive, which is computed when silence begins, never ticked, or by TCP, where a connection has a limit for what it writes
//! without an acknowledgement. What is written into silence waits here and goes on its way, as TCP's retransmission would send it, when the
//! silence ends in time.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

use crate::base::{Cause, Duration, Time};
use crate::wire::{Address, CloseReason, Conn, KeepAlive, MachineId, Message};

/// A side of a connection: 0 dialled, 1 accepted.
pub type Side = usize;

/// Messages held back beyond this are too many for the socket's buffer: the writer is told to stop. (With about 1 KiB a message, Linux'
/// default maximum of 4 MiB: net.ipv4.tcp_wmem.)
const HELD_MAX: usize = 4096;

/// What an accepted connection does about a silent peer: Go's server default, TCP keep-alives each 15 s, nine unanswered ones are too many.
pub const ACCEPTED_KEEP_ALIVE: KeepAlive = KeepAlive::of(15, 135);

/// One end of a connection: what each message looks at.
#[derive(Clone, Debug)]
pub struct End {
    pub address: Address,
    pub machine: MachineId,
    pub state: EndState,
    /// It is about to be told that the connection is over.
    pub closing: bool,
    /// When the last thing that was sent to this end arrives: nothing overtakes it.
    pub last_arrival: Time,
    more: Box<More>,
}

/// The rest of an end: what is looked at when nothing passes.
#[derive(Clone, Debug)]
pub struct More {
    pub keep_alive: KeepAlive,
    /// Written to this end while nothing passes.
    pub held: Vec<(Cause, Message)>,
    /// When the first of `held` was written.
    pub held_since: Time,
    /// When it wrote the first thing that its peer's machine has not acknowledged.
    pub unacknowledged: Option<Time>,
    /// Its peer was told that it is blocked.
    pub blocked: bool,
    /// A keep-alive check of this end is in the queue.
    pub checking: bool,
    /// The last keep-alive that was answered, or could have been, before silence began.
    pub heard: Time,
    /// How its peer ended while nothing passed: told when something does again.
    pub last_word: Option<(Cause, CloseReason)>,
    /// The fault behind the silence, once there is one. Of the connection: it stands at the side that dialled.
    silence: Cause,
}

impl Deref for End {
    type Target = More;
    fn deref(&self) -> &More {
        &self.more
    }
}
impl DerefMut for End {
    fn deref_mut(&mut self) -> &mut More {
        &mut self.more
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EndState {
    Open,
    /// It closed the connection, or was told that it is closed.
    Closed,
    /// Its machine died: it will never say a word.
    Gone,
}

/// One cache line: there are thousands of connections, and each message looks at one when it leaves and when it arrives.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub struct Connection {
    pub ends: [End; 2],
}
const _: () = assert!(size_of::<Option<Connection>>() == 64);

impl Connection {
    /// The fault behind the silence, once there is one.
    pub fn silence(&self) -> Cause {
        self.ends[0].silence
    }
    pub fn fall_silent(&mut self, cause: Cause) {
        self.ends[0].silence = cause;
    }
}

/// All connections, and which processes have which.
#[derive(Default)]
pub struct Connections {
    /// Where each stands, plus one, by its number: the outbox counts them. 0: it is over, or was never opened.
    places: Vec<u32>,
    connections: Vec<Option<Connection>>,
    free: Vec<u32>,
    by_process: BTreeMap<Address, BTreeMap<Conn, Side>>,
}

impl Connections {
    pub fn open(&mut self, conn: Conn, dialler: (Address, MachineId, KeepAlive), accepter: (Address, MachineId)) {
        let end = |address, machine, keep_alive| {
            let more = More {
                keep_alive,
                held: Vec::new(),
                held_since: Time::ZERO,
                unacknowledged: None,
                blocked: false,
                checking: false,
                heard: Time::ZERO,
                last_word: None,
                silence: Cause::NONE,
            };
            End { address, machine, state: EndState::Open, closing: false, last_arrival: Time::ZERO, more: Box::new(more) }
        };
        // A peer stream of etcd notices silence the same way at both ends.
        let accepted = if dialler.2 == KeepAlive::ETCD_PEER { KeepAlive::ETCD_PEER } else { ACCEPTED_KEEP_ALIVE };
        let ends = [end(dialler.0, dialler.1, dialler.2), end(accepter.0, accepter.1, accepted)];
        for (side, end) in ends.iter().enumerate() {
            self.by_process.entry(end.address).or_default().insert(conn, side);
        }
        let at = conn.0 as usize;
        if self.places.len() <= at {
            self.places.resize(at + 1, 0);
        }
        let place = self.free.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() as u32 - 1
        });
        self.connections[place as usize] = Some(Connection { ends });
        self.places[at] = place + 1;
    }
    /// Where a connection stands, unless it is over or was never opened.
    fn place(&self, conn: Conn) -> Option<usize> {
        Some(self.places.get(conn.0 as usize)?.checked_sub(1)? as usize)
    }
    pub fn get(&mut self, conn: Conn) -> Option<&mut Connection> {
        let place = self.place(conn)?;
        self.connections[place].as_mut()
    }
    /// The side of `address`, if the connection is still open there.
    pub fn open_side(&self, conn: Conn, address: Address) -> Option<Side> {
        let connection = self.connections[self.place(conn)?].as_ref()?;
        connection.ends.iter().position(|end| end.address == address && end.state == EndState::Open)
    }
    /// The connections of a process, in order.
    pub fn of(&self, address: Address) -> Vec<(Conn, Side)> {
        self.by_process.get(&address).into_iter().flatten().map(|(conn, side)| (*conn, *side)).collect()
    }
    /// The processes with connections, between two addresses.
    pub fn processes(&self, first: Address, last: Address) -> Vec<Address> {
        self.by_process.range(first..=last).map(|(address, _)| *address).collect()
    }
    /// All connections, in order.
    pub fn all(&self) -> Vec<Conn> {
        let mut all: Vec<Conn> = self.by_process.values().flat_map(|conns| conns.keys().copied()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
    /// Ends one side; the connection is forgotten when both have ended.
    pub fn end(&mut self, conn: Conn, side: Side, state: EndState) {
        let Some(connection) = self.get(conn) else { return };
        let end = &mut connection.ends[side];
        end.state = state;
        end.held.clear();
        let address = end.address;
        let over = connection.ends.iter().all(|end| end.state != EndState::Open);
        if let Some(conns) = self.by_process.get_mut(&address) {
            conns.remove(&conn);
            if conns.is_empty() {
                self.by_process.remove(&address);
            }
        }
        if over {
            let place = std::mem::take(&mut self.places[conn.0 as usize]) - 1;
            self.connections[place as usize] = None;
            self.free.push(place);
        }
    }
}

impl End {
    /// When silence that begins now makes it give up: keep-alives since the last message had been answered until now.
    pub fn begin_silence(&mut self, now: Time) -> Time {
        // A peer stream of etcd sends its own heartbeats, three in its read time-out (rafthttp: ConnReadTimeout / 3).
        let interval = if self.keep_alive.interval == Duration::ZERO {
            Duration::from_nanos(self.keep_alive.timeout.nanos() / 3)
        } else {
            self.keep_alive.interval
        };
        let silent_since = self.last_arrival.min(now);
        let answered = now.since(silent_since).nanos() / interval.nanos().max(1);
        self.heard = self.heard.max(silent_since + interval * answered);
        self.gives_up(now)
    }
    /// When it gives up if it hears nothing more.
    pub fn gives_up(&self, now: Time) -> Time {
        self.heard.max(self.last_arrival.min(now)) + self.keep_alive.interval + self.keep_alive.timeout
    }
    /// It writes into silence: when TCP gives up, if this is the first thing and there is a limit.
    pub fn begin_to_wait(&mut self, now: Time) -> Option<Time> {
        let first = self.unacknowledged.is_none();
        self.unacknowledged.get_or_insert(now);
        (first && self.keep_alive.unacknowledged != Duration::ZERO).then(|| now + self.keep_alive.unacknowledged)
    }
    /// Its checks are TCP's, which the kernel of a process that stands still answers.
    pub fn asks_the_kernel(&self) -> bool {
        self.keep_alive == ACCEPTED_KEEP_ALIVE
    }
    /// When something sent now arrives here: never before what was sent earlier.
    pub fn arrival(&mut self, at: Time) -> Time {
        self.last_arrival = self.last_arrival.max(at);
        self.last_arrival
    }
    /// Holds a message back. True when the writer must now be told that it is blocked.
    pub fn hold(&mut self, cause: Cause, message: Message) -> bool {
        self.held.push((cause, message));
        let first = self.held.len() > HELD_MAX && !self.blocked;
        self.blocked |= first;
        first
    }
}
