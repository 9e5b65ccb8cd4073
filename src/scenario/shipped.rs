//! The scenarios that the program brings along.

/// A shipped scenario.
#[derive(Clone, Copy, Debug)]
pub struct Shipped {
    pub name: &'static str,
    /// What it shows, in a line.
    pub about: &'static str,
    pub text: &'static str,
}

macro_rules! shipped {
    ($($name:literal: $about:literal,)*) => {
        const SHIPPED: &[Shipped] = &[$(
            Shipped { name: $name, about: $about, text: include_str!(concat!("../../scenarios/", $name, ".json")) },
        )*];
    };
}
shipped! {
    "node-failure": "a node loses power: detection after a minute, replacement after six",
    "node-failure-fast": "the same with tolerations of 30 seconds: what faster eviction buys",
    "rolling-update": "a new image rolls out under traffic, without an outage",
    "zone-outage": "one of three zones goes dark, its etcd member and machines with it",
    "etcd-leader-loss": "the etcd leader dies: how long nothing can be written",
    "control-plane-loss": "an API server and the leading manager die: the data plane goes on",
    "bench-cluster": "a large cluster for measuring: nodes and pods by --set",
}

/// All of them, the main one first.
pub fn shipped() -> &'static [Shipped] {
    SHIPPED
}
