//! What waits in the queue: to whom and what in one value, so that a misrouted message does not get past [`Event::data`].

use crate::base::{Cause, Incarnation, Time};
use crate::wire::{
    Address, ClientMessage, Conn, EtcdMessage, HttpResponse, Input, Member, Message, NodeId, Replica, Server, ServerMessage,
};

/// An input for an actor, a change in an actor's life, or a matter of the host's own.
#[derive(Clone, Debug)]
pub enum Event {
    Etcd(Member, Input<EtcdMessage>),
    Api(Server, Input<ServerMessage>),
    Manager(Replica, Input<ClientMessage>),
    Scheduler(Replica, Input<ClientMessage>),
    Kubelet(NodeId, Input<ClientMessage>),
    Proxy(Input<ClientMessage>),
    Operator(Input<ClientMessage>),
    Traffic(u32, Input<HttpResponse>),
    EtcdClient(u32, Input<ServerMessage>),
    Etcdctl(Input<ServerMessage>),
    /// An actor is started, stopped, frozen or thawed.
    Life(Address, Life),
    /// Something beneath the actors is due: the host knows what.
    Host(HostEvent),
    /// The n-th fault of the plan begins or ends.
    Fault {
        fault: u32,
        begins: bool,
    },
    /// A second of virtual time is over.
    Second,
}

const _: () = assert!(size_of::<Event>() <= 32);
const _: () = assert!(size_of::<Option<Pending>>() <= 48);

/// What happens to a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Life {
    Start,
    /// It is gone at once, without a last word.
    Stop,
    Freeze,
    Thaw,
}

/// A matter of the host's own: a number that only it understands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HostEvent {
    pub what: u32,
    pub which: u64,
}

/// An event with what the queue must remember of it.
#[derive(Clone, Debug)]
pub struct Pending {
    pub event: Event,
    /// The life of the addressee that this is meant for; 0: any.
    pub incarnation: Incarnation,
    pub cause: Cause,
}

/// The pending-event queue of a run.
pub type Queue = crate::base::Queue<Pending>;

impl Event {
    /// Any input but data, for this actor. `None` for addresses that are not actors.
    pub fn input(to: Address, input: Input<std::convert::Infallible>) -> Event {
        match to {
            Address::Etcd(member) => Event::Etcd(member, retype(input)),
            Address::Api(server) => Event::Api(server, retype(input)),
            Address::Manager(replica) => Event::Manager(replica, retype(input)),
            Address::Scheduler(replica) => Event::Scheduler(replica, retype(input)),
            Address::Kubelet(node) => Event::Kubelet(node, retype(input)),
            Address::Proxy => Event::Proxy(retype(input)),
            Address::Operator => Event::Operator(retype(input)),
            Address::Traffic(client) => Event::Traffic(client, retype(input)),
            Address::EtcdClient(client) => Event::EtcdClient(client, retype(input)),
            Address::Etcdctl => Event::Etcdctl(retype(input)),
            Address::ApiBalancer | Address::Service(_) | Address::Pod(_) => panic!("{to} is no actor and got {input:?}"),
        }
    }
    /// A message for an actor, through the only door where its type is looked at.
    pub fn data(to: Address, conn: Conn, message: Message) -> Event {
        match (to, message) {
            (Address::Etcd(member), Message::Raft(message)) => Event::Etcd(member, Input::Data(conn, EtcdMessage::Raft(message))),
            (Address::Etcd(member), Message::EtcdPeer(message)) => Event::Etcd(member, Input::Data(conn, EtcdMessage::Peer(message))),
            (Address::Etcd(member), Message::EtcdRequest(request)) => Event::Etcd(member, Input::Data(conn, EtcdMessage::Client(request))),
            (Address::Api(server), Message::ApiRequest(request)) => Event::Api(server, Input::Data(conn, ServerMessage::Client(request))),
            (Address::Api(server), Message::EtcdResponse(response)) => Event::Api(server, Input::Data(conn, ServerMessage::Etcd(response))),
            (Address::Manager(replica), Message::ApiResponse(response)) => Event::Manager(replica, Input::Data(conn, response)),
            (Address::Scheduler(replica), Message::ApiResponse(response)) => Event::Scheduler(replica, Input::Data(conn, response)),
            (Address::Kubelet(node), Message::ApiResponse(response)) => Event::Kubelet(node, Input::Data(conn, response)),
            (Address::Proxy, Message::ApiResponse(response)) => Event::Proxy(Input::Data(conn, response)),
            (Address::Operator, Message::ApiResponse(response)) => Event::Operator(Input::Data(conn, response)),
            (Address::EtcdClient(client), Message::EtcdResponse(response)) => {
                Event::EtcdClient(client, Input::Data(conn, ServerMessage::Etcd(response)))
            }
            (Address::Etcdctl, Message::EtcdResponse(response)) => Event::Etcdctl(Input::Data(conn, ServerMessage::Etcd(response))),
            (Address::Traffic(client), Message::HttpResponse) => Event::Traffic(client, Input::Data(conn, HttpResponse)),
            (to, message) => panic!("{to} cannot receive {message:?}"),
        }
    }
    /// The actor that it is for.
    pub fn target(&self) -> Option<Address> {
        Some(match self {
            Event::Etcd(member, _) => Address::Etcd(*member),
            Event::Api(server, _) => Address::Api(*server),
            Event::Manager(replica, _) => Address::Manager(*replica),
            Event::Scheduler(replica, _) => Address::Scheduler(*replica),
            Event::Kubelet(node, _) => Address::Kubelet(*node),
            Event::Proxy(_) => Address::Proxy,
            Event::Operator(_) => Address::Operator,
            Event::Traffic(client, _) => Address::Traffic(*client),
            Event::EtcdClient(client, _) => Address::EtcdClient(*client),
            Event::Etcdctl(_) => Address::Etcdctl,
            Event::Life(..) | Event::Host(_) | Event::Fault { .. } | Event::Second => return None,
        })
    }
    /// The shape of the input, without its payload.
    pub fn shape(&self) -> Shape {
        match self {
            Event::Etcd(_, input) => Shape::of(input),
            Event::Api(_, input) | Event::EtcdClient(_, input) | Event::Etcdctl(input) => Shape::of(input),
            Event::Manager(_, input) | Event::Scheduler(_, input) | Event::Kubelet(_, input) => Shape::of(input),
            Event::Proxy(input) | Event::Operator(input) => Shape::of(input),
            Event::Traffic(_, input) => Shape::of(input),
            Event::Life(_, life) => Shape { tag: 20 + *life as u8, number: 0 },
            Event::Host(event) => Shape { tag: 30, number: event.which ^ (u64::from(event.what) << 48) },
            Event::Fault { fault, begins } => Shape { tag: 31 + u8::from(*begins), number: u64::from(*fault) },
            Event::Second => Shape { tag: 33, number: 0 },
        }
    }
    /// Whose order must be kept when ties are shuffled: a connection, a disk, a daemon, an actor's own timer.
    pub fn source(&self) -> (u8, Option<Address>, u64) {
        let shape = self.shape();
        match shape.tag {
            // Everything on a connection is one source, at each of its ends.
            2..=8 => (1, self.target(), shape.number),
            // A process is not started before it is stopped, nor a fault ended before it begins.
            20..=23 => match self {
                Event::Life(address, _) => (20, Some(*address), 0),
                _ => unreachable!("tags 20 to 23 are lives"),
            },
            31 | 32 => (31, None, shape.number),
            tag => (tag.max(2), self.target(), 0),
        }
    }
}

/// See [`Event::shape`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    pub tag: u8,
    pub number: u64,
}

impl Shape {
    pub fn is_wake(self) -> bool {
        self.tag == 1
    }
    /// The connection that the input is about, if it is about one.
    pub fn conn(self) -> Option<Conn> {
        (2..=8).contains(&self.tag).then_some(Conn(self.number))
    }
    pub fn opens(self) -> bool {
        self.tag == 3
    }
    pub fn is_data(self) -> bool {
        self.tag == 5
    }
    pub fn closes(self) -> bool {
        self.tag == 6
    }
    fn of<M>(input: &Input<M>) -> Shape {
        let (tag, number) = match input {
            Input::Boot(boot) => (0, u64::from(boot.incarnation.0)),
            Input::Wake => (1, 0),
            Input::Accepted(conn, _) => (2, conn.0),
            Input::Opened(conn) => (3, conn.0),
            Input::Refused(conn) => (4, conn.0),
            Input::Data(conn, _) => (5, conn.0),
            Input::Closed(conn, _) => (6, conn.0),
            Input::Blocked(conn) => (7, conn.0),
            Input::Writable(conn) => (8, conn.0),
            Input::Synced(id) => (9, id.0),
            Input::Container(_) => (10, 0),
            Input::Done(id) => (11, id.0),
        };
        Shape { tag, number }
    }
}

/// Gives an input without data the type of another actor's.
fn retype<M>(input: Input<std::convert::Infallible>) -> Input<M> {
    match input {
        Input::Boot(boot) => Input::Boot(boot),
        Input::Wake => Input::Wake,
        Input::Accepted(conn, from) => Input::Accepted(conn, from),
        Input::Opened(conn) => Input::Opened(conn),
        Input::Refused(conn) => Input::Refused(conn),
        Input::Data(_, never) => match never {},
        Input::Closed(conn, reason) => Input::Closed(conn, reason),
        Input::Blocked(conn) => Input::Blocked(conn),
        Input::Writable(conn) => Input::Writable(conn),
        Input::Synced(id) => Input::Synced(id),
        Input::Container(event) => Input::Container(event),
        Input::Done(id) => Input::Done(id),
    }
}

impl Pending {
    /// For the current life of whoever it is for.
    pub fn any(event: Event, cause: Cause) -> Pending {
        Pending { event, incarnation: Incarnation(0), cause }
    }
}

/// Never earlier than now: the queue refuses the past.
pub fn push(queue: &mut Queue, at: Time, event: Event, incarnation: Incarnation, cause: Cause) {
    queue.push(at, Pending { event, incarnation, cause });
}
