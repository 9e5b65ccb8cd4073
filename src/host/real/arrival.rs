//! What comes to an actor from outside of its process.

use std::sync::mpsc::{Receiver, Sender, channel};

use serde::{Deserialize, Serialize};

use super::control::ToChild;
use crate::base::Cause;
use crate::engine::Event;
use crate::wire::container::ContainerEvent;
use crate::wire::{Address, CloseReason, Conn, Input, Message, SyncId};

/// An input for the actor, as it is journalled.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Arrival {
    Accepted(Conn, Address),
    Opened(Conn),
    Refused(Conn),
    Data(Conn, Message),
    Closed(Conn, CloseReason),
    Blocked(Conn),
    Writable(Conn),
    Synced(SyncId),
    Container(Box<ContainerEvent>),
}

/// With what led to it.
pub type Caused = (Cause, Arrival);

impl Arrival {
    /// The event that it is for this actor.
    pub fn event(self, to: Address) -> Event {
        match self {
            Arrival::Accepted(conn, from) => Event::input(to, Input::Accepted(conn, from)),
            Arrival::Opened(conn) => Event::input(to, Input::Opened(conn)),
            Arrival::Refused(conn) => Event::input(to, Input::Refused(conn)),
            Arrival::Data(conn, message) => Event::data(to, conn, message),
            Arrival::Closed(conn, reason) => Event::input(to, Input::Closed(conn, reason)),
            Arrival::Blocked(conn) => Event::input(to, Input::Blocked(conn)),
            Arrival::Writable(conn) => Event::input(to, Input::Writable(conn)),
            Arrival::Synced(id) => Event::input(to, Input::Synced(id)),
            Arrival::Container(event) => Event::input(to, Input::Container(event)),
        }
    }
}

/// What a process waits for: the actor's inputs and the supervisor's words, in the order in which they came.
#[derive(Debug)]
pub enum Inbox {
    Arrival(Caused),
    Control(ToChild),
    /// The supervisor is gone.
    Orphaned,
}

/// Where threads beneath the actor leave what has arrived.
#[derive(Clone)]
pub struct Told(pub Sender<Inbox>);

impl Told {
    pub fn new() -> (Told, Receiver<Inbox>) {
        let (sender, inbox) = channel();
        (Told(sender), inbox)
    }
    pub fn tell(&self, cause: Cause, arrival: Arrival) {
        // Nobody listens any more only when the process ends.
        let _ = self.0.send(Inbox::Arrival((cause, arrival)));
    }
}
