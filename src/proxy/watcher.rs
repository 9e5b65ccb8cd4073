//! The one watcher behind every node's proxy.

use std::sync::Arc;

use crate::base::{Duration, Stream, Time};
use crate::client::{Change, Informers, Session, SessionConfig, SessionOutput};
use crate::objects::pod::PodIp;
use crate::objects::{Kind, Object};
use crate::wire::api::Scope;
use crate::wire::{Actor, Address, ClientMessage, EndpointChange, Input, Outbox};

/// Watches services and endpoint slices and tells the host of each change.
pub struct Watcher {
    session: Session<()>,
    outputs: Vec<SessionOutput<()>>,
}

impl Watcher {
    pub fn new(server: Address, stream: Stream) -> Watcher {
        let config = SessionConfig {
            server,
            limits: Vec::new(),
            timeout: Duration::from_secs(60),
            reflect: vec![(Kind::Service, Scope::all()), (Kind::EndpointSlice, Scope::all())],
        };
        Watcher { session: Session::new(config, stream), outputs: Vec::new() }
    }
    /// What it believes of the API, for checks.
    pub fn informers(&self) -> Informers<'_> {
        self.session.informers()
    }
}

impl Actor for Watcher {
    type Message = ClientMessage;

    fn step(&mut self, now: Time, input: Input<ClientMessage>, out: &mut Outbox) {
        let mut outputs = std::mem::take(&mut self.outputs);
        self.session.step(now, input, out, &mut outputs);
        for output in outputs.drain(..) {
            if let SessionOutput::Change(change) = output {
                out.because(change.cause);
                if let Some(told) = translate(&change) {
                    out.endpoints(told);
                }
            }
        }
        self.outputs = outputs;
    }

    fn deadline(&self) -> Time {
        self.session.deadline()
    }
}

/// What a change of the API means for the rules.
fn translate(change: &Change) -> Option<EndpointChange> {
    let gone = change.new.is_none();
    match change.object() {
        Object::Service(_) if gone => Some(EndpointChange::ServiceGone { key: change.key.clone() }),
        Object::Service(service) => {
            let ip: std::net::Ipv4Addr = service.spec.cluster_ip.parse().ok()?;
            Some(EndpointChange::Service { key: change.key.clone(), cluster_ip: PodIp(ip.into()) })
        }
        Object::EndpointSlice(_) if gone => Some(EndpointChange::SliceGone { key: change.key.clone() }),
        Object::EndpointSlice(slice) => Some(EndpointChange::Slice(Arc::new(slice.clone()))),
        _ => None,
    }
}
