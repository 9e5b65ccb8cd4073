//! Dialling, writing, closing, and noticing silence.

use super::connections::{EndState, Side};
use super::holds::Hold;
use super::{SimHost, Unanswered, what};
use crate::base::{Cause, Duration, Time};
use crate::engine::Queue;
use crate::engine::event::{Event, push};
use crate::models::container_engine::block_of;
use crate::models::network::{RETRANSMISSION, SYN_RETRANSMISSION, next_retransmission};
use crate::objects::pod::PodIp;
use crate::proxy::{Choice, NodeTable};
use crate::wire::{Address, CloseReason, Conn, Input, KeepAlive, MachineId, Message, NetOp, raft};

/// A dial that has not been answered.
#[derive(Clone, Copy)]
pub struct Dialling {
    from: Address,
    to: Address,
    keep_alive: KeepAlive,
    began: Time,
    tries: u32,
    cause: Cause,
}

impl Dialling {
    pub fn is_from(&self, address: Address) -> bool {
        self.from == address
    }
}

/// How long a dial may take: client-go's and etcd's dialers give up after 30 s (net.Dialer, k8s.io/apimachinery `util/net`).
const DIAL_TIMEOUT: Duration = Duration::from_secs(30);
/// The balancer's health checks: one each 2 s, down after 3 that fail (HAProxy's `inter` and `fall`).
pub(super) const HEALTH_CHECK: Duration = Duration::from_secs(2);
pub(super) const HEALTH_FALLS: u64 = 3;

impl SimHost {
    pub(super) fn net(&mut self, now: Time, from: Address, cause: Cause, op: NetOp, queue: &mut Queue) {
        match op {
            NetOp::Dial(conn, to, keep_alive) => {
                self.dialling.insert(conn, Dialling { from, to, keep_alive, began: now, tries: 0, cause });
                self.dial_again(now, conn, queue);
            }
            NetOp::Write(conn, message) => self.write(now, from, conn, cause, message, queue),
            NetOp::Close(conn) => self.close(now, from, conn, cause, queue),
            NetOp::Health(ready) => {
                let process = self.processes.get_mut(&from).expect("every process has a place");
                process.healthy = ready;
                self.notice_health(now, from, queue);
            }
        }
    }

    /// One try of a dial: a SYN that arrives, is refused, or is lost in silence.
    pub(super) fn dial_again(&mut self, now: Time, conn: Conn, queue: &mut Queue) {
        let Some(mut dial) = self.dialling.remove(&conn) else { return };
        let process = &self.processes[&dial.from];
        let here = process.machine;
        if !process.up {
            return;
        }
        let (target, cause) = self.resolve(now, here, dial.to);
        let cause = cause.or(dial.cause);
        let Some((target, there)) = target else {
            let at = now + self.links.delay(here, here);
            self.push_input(queue, at, dial.from, Input::Refused(conn), cause);
            return;
        };
        if let Some(silence) = self.silent(here, there) {
            if now.since(dial.began) >= DIAL_TIMEOUT {
                self.push_input(queue, now, dial.from, Input::Closed(conn, CloseReason::TimedOut), silence);
                return;
            }
            let wait = SYN_RETRANSMISSION * (1 << dial.tries);
            dial.tries += 1;
            let next = (now + wait).min(dial.began + DIAL_TIMEOUT);
            self.dialling.insert(conn, dial);
            self.push_host(queue, next, what::DIAL_AGAIN, conn.0, dial.cause);
            return;
        }
        let arrives = now + self.links.delay(here, there);
        let back = arrives + self.links.delay(there, here);
        let listens = match target {
            Address::Pod(ip) => self.engines.get(&there).is_some_and(|engine| engine.serving(ip, now).is_some()),
            process => self.processes.get(&process).is_some_and(|process| process.up),
        };
        if !listens {
            let behind = self.processes.get(&target).map_or(Cause::NONE, |process| process.holds.cause(now));
            self.push_input(queue, back, dial.from, Input::Refused(conn), behind.or(cause));
            return;
        }
        self.connections.open(conn, (dial.from, here, dial.keep_alive), (target, there));
        let connection = self.connections.get(conn).expect("just opened");
        connection.ends[0].last_arrival = back;
        connection.ends[1].last_arrival = arrives;
        if !matches!(target, Address::Pod(_)) {
            self.push_input(queue, arrives, target, Input::Accepted(conn, dial.from), dial.cause);
        }
        self.push_input(queue, back, dial.from, Input::Opened(conn), dial.cause);
    }

    /// Who stands behind an address, and on which machine; `None`: nobody, which a REJECT tells at once.
    fn resolve(&mut self, now: Time, here: MachineId, to: Address) -> (Option<(Address, MachineId)>, Cause) {
        match to {
            Address::ApiBalancer => {
                let servers = self.plan.api_servers.len();
                for offset in 0..servers {
                    let server = Address::Api(crate::wire::Server(((self.next_server + offset) % servers) as u16 + 1));
                    if self.processes[&server].balanced {
                        self.next_server = (self.next_server + offset + 1) % servers;
                        return (Some((server, self.processes[&server].machine)), Cause::NONE);
                    }
                }
                (None, Cause::NONE)
            }
            Address::Service(cluster_ip) => {
                let (choice, cause) = self.choose(now, here, cluster_ip);
                match choice {
                    Choice::Pod(ip) => (self.pod(ip), cause),
                    Choice::Refused => (None, cause),
                }
            }
            Address::Pod(ip) => (self.pod(ip), Cause::NONE),
            process => (Some((process, self.processes[&process].machine)), Cause::NONE),
        }
    }
    fn pod(&self, ip: PodIp) -> Option<(Address, MachineId)> {
        let machine = self.blocks.get(block_of(ip)? as usize)?;
        Some((Address::Pod(ip), *machine))
    }
    /// What the proxy of this machine says about a connection to a service.
    fn choose(&mut self, now: Time, here: MachineId, cluster_ip: PodIp) -> (Choice, Cause) {
        let config = &self.plan.timings.proxy;
        let stream = &mut self.stream;
        let (table, phase) = self
            .tables
            .entry(here)
            .or_insert_with(|| (NodeTable::default(), stream.duration_between(Duration::ZERO, config.min_sync_period)));
        // A node that is cut off from the API hears of no change until it is not.
        let heard = self.machines[here.0 as usize].hears_until.unwrap_or(now);
        table.catch_up(&self.log, config, *phase, now, heard);
        table.choose(cluster_ip, stream)
    }

    /// The fault because of which nothing that is sent from one machine is answered by the other.
    fn silent(&self, here: MachineId, there: MachineId) -> Option<Cause> {
        if !self.runs(there) {
            return Some(self.machines[there.0 as usize].holds.stopped_by());
        }
        self.links.cut(here, there).or_else(|| self.links.cut(there, here))
    }

    fn write(&mut self, now: Time, from: Address, conn: Conn, cause: Cause, message: Message, queue: &mut Queue) {
        let Some(side) = self.connections.open_side(conn, from) else { return };
        let connection = self.connections.get(conn).expect("an open side has a connection");
        let peer = 1 - side;
        let (here, there) = (connection.ends[side].machine, connection.ends[peer].machine);
        let (to, state) = (connection.ends[peer].address, connection.ends[peer].state);
        if let Some(silence) = self.mute(here, there, to) {
            let patience = self.connections.get(conn).expect("it is there").ends[side].begin_to_wait(now);
            if self.hold(now, conn, peer, silence, cause, message) {
                self.push_input(queue, now, from, Input::Blocked(conn), silence);
            }
            if let Some(limit) = patience {
                self.push_host(queue, limit, what::UNACKNOWLEDGED, conn.0 * 2 + side as u64, silence);
            }
            self.watch_silence(now, conn, queue);
            return;
        }
        if state != EndState::Open {
            // The other machine does not know this connection (any more), be it that its process died or that it closed the connection: its
            // kernel says so (RFC 9293, 3.5.2), now or when a retransmission finds the way back open.
            let back = now + self.links.delay(here, there) + self.links.delay(there, here);
            let comes_through = self.links.cut(there, here).is_none();
            let connection = self.connections.get(conn).expect("it is there");
            let reason = connection.silence();
            let end = &mut connection.ends[side];
            if end.closing {
                return;
            }
            if comes_through {
                end.closing = true;
                let at = end.arrival(back);
                self.push_input(queue, at, from, Input::Closed(conn, CloseReason::Reset), reason);
            } else if end.last_word.is_none() {
                if end.held.is_empty() {
                    end.held_since = now;
                }
                end.last_word = Some((reason, CloseReason::Reset));
            }
            return;
        }
        self.send(now, conn, peer, cause, message, queue);
    }

    /// Puts a message on its way to the end at `peer`, behind what was sent to it before.
    fn send(&mut self, now: Time, conn: Conn, peer: Side, cause: Cause, message: Message, queue: &mut Queue) {
        let connection = self.connections.get(conn).expect("what is sent has a connection");
        let (here, there, to) = (connection.ends[1 - peer].machine, connection.ends[peer].machine, connection.ends[peer].address);
        let delay = self.links.delay(here, there);
        if let Message::Raft(raft) = &message
            && !self.links.is_reliable()
            && let Some(passage) = self.links.passage(here, there)
        {
            let incarnation = self.processes[&to].incarnation;
            // A member that passes a proposal on does so once: a second copy would be a second write, in etcd as here.
            let once = matches!(raft.body, raft::Body::Propose { .. });
            if let Some(late) = passage.second.filter(|_| !once) {
                push(queue, now + delay + late, Event::data(to, conn, message.clone()), incarnation, cause);
            }
            match passage.first {
                None => {}
                // In its order, if it is not among those that are overtaken.
                Some(Duration::ZERO) => {
                    let at = self.connections.get(conn).expect("it is there").ends[peer].arrival(now + delay);
                    push(queue, at, Event::data(to, conn, message), incarnation, cause);
                }
                Some(late) => push(queue, now + delay + late, Event::data(to, conn, message), incarnation, cause),
            }
            return;
        }
        let at = self.connections.get(conn).expect("it is there").ends[peer].arrival(now + delay);
        if let Address::Pod(ip) = to {
            let workload = self.engines[&there].serving(ip, now).map(|identity| identity.workload.clone());
            let takes = workload.map(|workload| self.workloads.service_time(&workload, &mut self.served)).unwrap_or_default();
            let takes = self.machines[there.0 as usize].cores.stretch(takes);
            self.push_host(queue, at + takes, what::SERVED, conn.0, cause);
        } else {
            let incarnation = self.processes[&to].incarnation;
            push(queue, at, Event::data(to, conn, message), incarnation, cause);
        }
    }

    /// A pod has answered a request.
    pub(super) fn served(&mut self, now: Time, conn: Conn, cause: Cause, queue: &mut Queue) {
        let Some(connection) = self.connections.get(conn) else { return };
        let (here, there, to) = (connection.ends[1].machine, connection.ends[0].machine, connection.ends[0].address);
        if connection.ends[1].state != EndState::Open || connection.ends[0].state != EndState::Open {
            return;
        }
        let machine = &self.machines[here.0 as usize];
        if let Some(since) = machine.frozen {
            self.unanswered.push(Unanswered { machine: here, conn, left: now.since(since), cause });
            return;
        }
        // A pod of a machine without power has no connections.
        assert!(machine.powered, "a pod of a machine without power answered");
        if let Some(silence) = self.mute(here, there, to) {
            self.hold(now, conn, 0, silence, cause, Message::HttpResponse);
            self.watch_silence(now, conn, queue);
            return;
        }
        self.send(now, conn, 0, cause, Message::HttpResponse, queue);
    }
    /// The pods of a machine go on: what they were about to answer, they answer after what was left of its time.
    pub(super) fn answer_late(&mut self, now: Time, machine: MachineId, queue: &mut Queue) {
        let (here, others) = std::mem::take(&mut self.unanswered).into_iter().partition(|answer| answer.machine == machine);
        self.unanswered = others;
        let here: Vec<Unanswered> = here;
        for Unanswered { conn, left, cause, .. } in here {
            self.push_host(queue, now + left, what::SERVED, conn.0, cause);
        }
    }

    /// Keeps what is written to the end at `peer` until something passes again. True when the writer must now be told that it is blocked.
    fn hold(&mut self, now: Time, conn: Conn, peer: Side, silence: Cause, cause: Cause, message: Message) -> bool {
        let connection = self.connections.get(conn).expect("what is written has a connection");
        connection.fall_silent(silence);
        let end = &mut connection.ends[peer];
        if end.held.is_empty() {
            end.held_since = now;
        }
        end.state == EndState::Open && end.hold(cause, message)
    }

    /// Why a message to this process would not be read: its machine, the link, or the process itself.
    fn mute(&self, here: MachineId, there: MachineId, to: Address) -> Option<Cause> {
        if !self.runs(there) {
            return Some(self.machines[there.0 as usize].holds.stopped_by());
        }
        if !self.links.is_cut_free()
            && let Some(cause) = self.links.cut(here, there)
        {
            return Some(cause);
        }
        self.processes.get(&to).filter(|process| process.holds.any(Hold::Still)).map(|process| process.holds.stopped_by())
    }

    fn close(&mut self, now: Time, from: Address, conn: Conn, cause: Cause, queue: &mut Queue) {
        self.dialling.remove(&conn);
        let Some(side) = self.connections.open_side(conn, from) else { return };
        self.tell_peer(now, conn, side, CloseReason::Fin, cause, queue);
        self.connections.end(conn, side, EndState::Closed);
    }

    /// The end at `side` is over: its peer hears of it, if it can, after all that was sent before.
    fn tell_peer(&mut self, now: Time, conn: Conn, side: Side, reason: CloseReason, cause: Cause, queue: &mut Queue) {
        let Some(connection) = self.connections.get(conn) else { return };
        let peer = 1 - side;
        let (here, there, to) = (connection.ends[side].machine, connection.ends[peer].machine, connection.ends[peer].address);
        if connection.ends[peer].state != EndState::Open || connection.ends[peer].closing {
            return;
        }
        if matches!(to, Address::Pod(_)) {
            self.connections.end(conn, peer, EndState::Closed);
            return;
        }
        if let Some(silence) = self.mute(here, there, to) {
            // A FIN is sent again like data; a reset is not, but the kernel of a process that stands still takes it. Else this end will
            // learn it when it says something, or by its keep-alive.
            let kernel_hears = self.runs(there) && self.links.cut(here, there).is_none();
            let connection = self.connections.get(conn).expect("it is there");
            connection.fall_silent(silence);
            let end = &mut connection.ends[peer];
            if reason == CloseReason::Fin || kernel_hears {
                if end.held.is_empty() {
                    end.held_since = now;
                }
                end.last_word = Some((cause, reason));
            }
            self.watch_silence(now, conn, queue);
            return;
        }
        self.tell(now, conn, peer, reason, cause, queue);
    }
    /// The end at `peer` hears that the connection is over.
    fn tell(&mut self, now: Time, conn: Conn, peer: Side, reason: CloseReason, cause: Cause, queue: &mut Queue) {
        let connection = self.connections.get(conn).expect("what ends is there");
        let (here, there, to) = (connection.ends[1 - peer].machine, connection.ends[peer].machine, connection.ends[peer].address);
        let delay = self.links.delay(here, there);
        let end = &mut self.connections.get(conn).expect("it is there").ends[peer];
        let at = end.arrival(now + delay);
        end.closing = true;
        self.push_input(queue, at, to, Input::Closed(conn, reason), cause);
    }

    /// A process ended: with a last word from its kernel if its machine still has power.
    pub(super) fn end_connections_of(&mut self, now: Time, address: Address, powered: bool, cause: Cause, queue: &mut Queue) {
        for (conn, side) in self.connections.of(address) {
            if powered {
                self.tell_peer(now, conn, side, CloseReason::Reset, cause, queue);
                self.connections.end(conn, side, EndState::Gone);
            } else {
                if let Some(connection) = self.connections.get(conn) {
                    connection.fall_silent(cause);
                }
                self.watch_silence(now, conn, queue);
                self.connections.end(conn, side, EndState::Gone);
            }
        }
    }

    /// Resets the connections of pods on this machine that serve no more.
    pub(super) fn reset_dead_pods(&mut self, now: Time, machine: MachineId, cause: Cause, queue: &mut Queue) {
        let Some((first, last)) = self.pod_addresses(machine) else { return };
        for address in self.connections.processes(first, last) {
            let Address::Pod(ip) = address else { continue };
            if self.engines[&machine].serving(ip, now).is_none() {
                self.end_connections_of(now, address, true, cause, queue);
            }
        }
    }

    /// The first and the last address that pods of a node's machine can have.
    pub(super) fn pod_addresses(&self, machine: MachineId) -> Option<(Address, Address)> {
        let Address::Kubelet(node) = self.machines[machine.0 as usize].kubelet? else { return None };
        let first = 10 << 24 | node.0 << 8;
        Some((Address::Pod(PodIp(first)), Address::Pod(PodIp(first | 255))))
    }

    /// Puts the keep-alive checks of a connection that has fallen silent into the queue.
    pub(super) fn watch_silence(&mut self, now: Time, conn: Conn, queue: &mut Queue) {
        let Some(connection) = self.connections.get(conn) else { return };
        let mut checks = Vec::new();
        for (side, end) in connection.ends.iter_mut().enumerate() {
            if end.state == EndState::Open && !end.checking && !matches!(end.address, Address::Pod(_)) {
                end.checking = true;
                checks.push((side, end.begin_silence(now).max(now)));
            }
        }
        let cause = connection.silence();
        for (side, at) in checks {
            self.push_host(queue, at, what::KEEP_ALIVE, conn.0 * 2 + side as u64, cause);
        }
    }

    /// Has this end heard of its peer in time?
    pub(super) fn check_keep_alive(&mut self, now: Time, conn: Conn, side: Side, queue: &mut Queue) {
        let Some(connection) = self.connections.get(conn) else { return };
        let (end, peer) = (&connection.ends[side], &connection.ends[1 - side]);
        let (to, here, there, with, state) = (end.address, end.machine, peer.machine, peer.address, peer.state);
        let (limit, asks_the_kernel) = (end.gives_up(now), end.asks_the_kernel());
        let silence = connection.silence();
        connection.ends[side].checking = false;
        if connection.ends[side].state != EndState::Open || connection.ends[side].closing {
            return;
        }
        let frozen = self.processes.get(&to).is_some_and(|process| process.holds.any(Hold::Still)) || !self.runs(here);
        // A peer that is only stopped (SIGSTOP) answers TCP's checks, not those of a protocol.
        let stopped = if asks_the_kernel { None } else { self.mute(here, there, with) };
        let mute = stopped.or_else(|| self.silent(here, there));
        if mute.is_none() && state == EndState::Open {
            return;
        }
        if frozen || now < limit {
            // Whoever stands still notices nothing; what healed in between counts from then on.
            let again = if frozen { now + HEALTH_CHECK } else { limit };
            if let Some(connection) = self.connections.get(conn) {
                connection.ends[side].checking = true;
            }
            self.push_host(queue, again, what::KEEP_ALIVE, conn.0 * 2 + side as u64, silence);
            return;
        }
        let reason = if mute.is_none() { CloseReason::Reset } else { CloseReason::TimedOut };
        self.give_up(now, conn, side, reason, queue);
    }

    /// Has the other machine acknowledged in time what this end wrote? The kernel of a process that stands still does.
    pub(super) fn check_unacknowledged(&mut self, now: Time, conn: Conn, side: Side, queue: &mut Queue) {
        let Some(connection) = self.connections.get(conn) else { return };
        let end = &connection.ends[side];
        let (here, there) = (end.machine, connection.ends[1 - side].machine);
        let waits = end.unacknowledged.is_some_and(|since| since + end.keep_alive.unacknowledged <= now);
        if end.state == EndState::Open && !end.closing && waits && self.silent(here, there).is_some() && self.runs(here) {
            self.give_up(now, conn, side, CloseReason::TimedOut, queue);
        }
    }

    /// An end ends the connection because its peer is silent. Its kernel says so as soon as anything passes.
    fn give_up(&mut self, now: Time, conn: Conn, side: Side, reason: CloseReason, queue: &mut Queue) {
        let Some(connection) = self.connections.get(conn) else { return };
        let (to, silence) = (connection.ends[side].address, connection.silence());
        connection.ends[side].closing = true;
        self.tell_peer(now, conn, side, CloseReason::Fin, silence, queue);
        self.push_input(queue, now, to, Input::Closed(conn, reason), silence);
    }

    /// Silence may have ended for many: what was held goes on its way, as the next retransmission would carry it (`resumed`: the reader
    /// itself stood still, so that its kernel has everything).
    pub(super) fn release(&mut self, now: Time, resumed: impl Fn(Address, MachineId) -> bool, queue: &mut Queue) {
        // A member that goes on finds messages of its peers and requests of clients in its sockets. Raft's loop has taken the former before
        // the handlers of many requests come to propose theirs: of the puts that waited at a stopped leader all but 3 to 11 were answered by
        // way of the new one (a recording of real etcd 3.6).
        let mut all = self.connections.all();
        all.sort_by_key(|conn| {
            let ends = self.connections.get(*conn).map(|connection| [connection.ends[0].address, connection.ends[1].address]);
            !ends.is_some_and(|ends| ends.iter().all(|end| matches!(end, Address::Etcd(_))))
        });
        for conn in all {
            for peer in 0..2 {
                let Some(connection) = self.connections.get(conn) else { continue };
                let end = &connection.ends[peer];
                if end.state != EndState::Open {
                    continue;
                }
                let (to, there, from, here) =
                    (end.address, end.machine, connection.ends[1 - peer].address, connection.ends[1 - peer].machine);
                let (held_since, blocked) = (end.held_since, end.blocked);
                if self.mute(here, there, to).is_some() {
                    continue;
                }
                let hears = self.mute(there, here, from).is_none();
                let Some(connection) = self.connections.get(conn) else { continue };
                connection.ends[1 - peer].unacknowledged = None;
                if hears && connection.ends[peer].checking {
                    connection.ends[peer].heard = now;
                }
                let held = std::mem::take(&mut connection.ends[peer].held);
                connection.ends[peer].blocked = false;
                let last_word = connection.ends[peer].last_word.take();
                if held.is_empty() && last_word.is_none() {
                    continue;
                }
                let sent = if resumed(to, there) { now } else { next_retransmission(held_since, now, RETRANSMISSION) };
                for (cause, message) in held {
                    if resumed(to, there) && matches!(message, Message::Raft(_)) {
                        let at = self.connections.get(conn).expect("it is there").ends[peer].arrival(now);
                        push(queue, at, Event::data(to, conn, message), self.processes[&to].incarnation, cause);
                        continue;
                    }
                    self.send(sent, conn, peer, cause, message, queue);
                }
                if let Some((cause, reason)) = last_word {
                    self.tell(sent, conn, peer, reason, cause, queue);
                }
                if blocked {
                    self.push_input(queue, sent, from, Input::Writable(conn), Cause::NONE);
                }
            }
        }
    }

    /// The balancer's view of a server follows its health checks.
    pub(super) fn notice_health(&mut self, now: Time, server: Address, queue: &mut Queue) {
        let Address::Api(number) = server else { return };
        let process = &self.processes[&server];
        // A refused check is known at the next one; a silent server after three.
        let wait = if process.up && self.runs(process.machine) { HEALTH_CHECK } else { HEALTH_CHECK * HEALTH_FALLS };
        let phase = Duration::from_millis(200 * u64::from(number.0));
        let at = if process.healthy { now } else { (now + wait).next_tick(Time::ZERO + phase, HEALTH_CHECK) };
        self.push_host(queue, at, what::BALANCER, u64::from(number.0), Cause::NONE);
    }
    pub(super) fn balancer_checks(&mut self, number: u64) {
        let server = Address::Api(crate::wire::Server(number as u16));
        let process = &self.processes[&server];
        let sees = process.healthy && process.up && !process.holds.any(Hold::Still) && self.runs(process.machine);
        self.processes.get_mut(&server).expect("it has a place").balanced = sees;
    }
}
