//! The network between a run's machines, where the kernel lends one: a network namespace a machine, with one interface, whose other end
//! (`veth`) is on a bridge in a namespace more. Needs root and the tools `ip` and `tc` (iproute2).
//!
//! A machine that is cut off from all others has its end on the bridge down; from where to where else nothing passes, frames go to a link
//! address that nobody has. Both are silent, as a cut is: TCP waits, sends again and gives up by the kernel's own rules. A slow link is
//! `netem`'s on the interface of the machine that sends, where this kernel has it and it can draw such latencies.
//!
//! The namespaces have no names: they last as long as somebody holds them, which only processes of the run do, so that nothing of them is
//! left behind but what their sockets had to send, until the kernel gives that up. No interface of them is anywhere else, so that nothing passes in or out.
//!
//! Left out, and made by [`super::transport`] in any case: what passes between clients of services and pods, which meet at the pods'
//! addresses on loopback; and a machine that stands still, whose queues keep what comes meanwhile, while a link that is down loses it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, setns, unshare};

use super::addresses::Addresses;
use super::control::SlowLink;
use super::threads;
use crate::base::Duration;
use crate::models::distribution::Distribution;
use crate::wire::{Address, MachineId, Member};

/// The interface of a machine, in its namespace.
const INTERFACE: &str = "eth0";
/// Frames to here reach nobody: locally administered, and no machine has so high a number.
const NOBODY: &str = "02:00:ff:ff:ff:ff";

const NETEM: &str = "netem";

/// Who cuts and delays what passes between machines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// The kernel where it can, else our own transport.
    #[default]
    Auto,
    /// The kernel, or the run is refused.
    Kernel,
    Transport,
}

/// Who did, and why not the kernel, for the report.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Means {
    pub cuts: String,
    pub delays: String,
}

impl Means {
    /// Something was delayed that netem can't delay so.
    pub fn delays_by_transport(&mut self) {
        if self.delays == NETEM {
            self.delays = format!("{NETEM}, and where that can't draw such latencies by our own transport");
        }
    }
    pub fn line(&self) -> String {
        format!("links between machines: cut by {}, delayed by {}\n", self.cuts, self.delays)
    }
    /// Our own transport does both, for this reason.
    pub fn transport(why: &str) -> Means {
        Means { cuts: format!("our own transport ({why})"), delays: "our own transport".to_owned() }
    }
}

/// A network namespace that lasts as long as this.
struct Namespace(File);

impl Namespace {
    fn new() -> io::Result<Namespace> {
        // It is the thread's, which ends.
        threads::apart(|| {
            unshare(CloneFlags::CLONE_NEWNET).map_err(|error| io::Error::other(format!("no network namespace can be made: {error}")))?;
            // As a host that forwards may have it: a link that is down would be refused, and a cut is to be silent.
            for interfaces in ["all", "default"] {
                let _ = std::fs::write(format!("/proc/sys/net/ipv4/conf/{interfaces}/ignore_routes_with_linkdown"), "0");
            }
            Ok(Namespace(File::open("/proc/thread-self/ns/net")?))
        })
    }
    /// Where another process finds it.
    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }
    /// Has this tool do these lines there.
    fn have(&self, tool: &str, lines: &str) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        threads::apart(|| {
            setns(&self.0, CloneFlags::CLONE_NEWNET)?;
            let mut command = Command::new(tool);
            command.args(["-batch", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
            let mut child = command.spawn().map_err(|error| io::Error::other(format!("{tool}: {error}")))?;
            // What is wrong with a line the tool says itself.
            let _ = child.stdin.take().expect("it is piped").write_all(lines.as_bytes());
            let output = child.wait_with_output()?;
            if output.status.success() {
                return Ok(());
            }
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            Err(io::Error::other(format!("{tool}: {}", said.lines().next().unwrap_or("no word").trim_start_matches("Error: "))))
        })
    }
}

/// This process and what it starts are in that namespace from now on.
pub fn enter(path: &Path) -> io::Result<()> {
    Ok(setns(File::open(path)?, CloneFlags::CLONE_NEWNET)?)
}

struct Machine {
    id: MachineId,
    namespace: Namespace,
    /// Of its actors.
    addresses: Vec<Ipv4Addr>,
    /// What it sends has a class for each other machine.
    shaped: bool,
}

/// See the module.
pub struct Network {
    hub: Namespace,
    machines: Vec<Machine>,
    /// Why the kernel delays nothing.
    no_netem: Option<String>,
    now: Cuts,
    slow: Vec<SlowLink>,
}

/// How the kernel makes cuts: which machines' links are down, and from where to where frames go astray.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Cuts {
    down: BTreeSet<MachineId>,
    astray: BTreeSet<(MachineId, MachineId)>,
}

impl Cuts {
    /// Of these machines.
    fn of(cuts: &[(MachineId, MachineId)], machines: &BTreeSet<MachineId>) -> Cuts {
        let cuts: BTreeSet<_> = cuts.iter().copied().filter(|(from, to)| machines.contains(from) && machines.contains(to)).collect();
        let alone = |machine: &MachineId| {
            let others = || machines.iter().filter(|other| *other != machine);
            others().next().is_some() && others().all(|other| cuts.contains(&(*machine, *other)) && cuts.contains(&(*other, *machine)))
        };
        let down: BTreeSet<MachineId> = machines.iter().copied().filter(alone).collect();
        let astray = cuts.into_iter().filter(|(from, to)| !down.contains(from) && !down.contains(to)).collect();
        Cuts { down, astray }
    }
}

fn link_address(machine: MachineId) -> String {
    let [_, high, middle, low] = machine.0.to_be_bytes();
    format!("02:00:00:{high:02x}:{middle:02x}:{low:02x}")
}

impl Network {
    /// For the machines that these actors are on; clients of services, who sit on loopback, apart.
    pub fn make(addresses: &Addresses) -> io::Result<Network> {
        if !nix::unistd::geteuid().is_root() {
            return Err(io::Error::other("only root may make network namespaces"));
        }
        let mut ids: Vec<MachineId> =
            addresses.places().iter().filter(|(actor, _)| is_on_it(*actor)).map(|(_, machine)| *machine).collect();
        ids.sort_unstable();
        ids.dedup();
        let hub = Namespace::new()?;
        let mut machines = Vec::new();
        for id in ids {
            let on_it = addresses.places().iter().filter(|(actor, machine)| *machine == id && is_on_it(*actor));
            let addresses = on_it.map(|(actor, _)| *addresses.of(*actor).ip()).collect();
            machines.push(Machine { id, namespace: Namespace::new()?, addresses, shaped: false });
        }
        let mut network = Network { hub, machines, no_netem: None, now: Cuts::default(), slow: Vec::new() };
        network.join()?;
        network.no_netem = network.try_netem().err().map(|error| error.to_string());
        Ok(network)
    }
    /// Bridge, links and addresses. Who has which link address is told beforehand: nobody is to be asked through a cut.
    fn join(&self) -> io::Result<()> {
        let mut hub = "link add bridge type bridge stp_state 0 forward_delay 0\nlink set bridge up\n".to_owned();
        self.machines.iter().for_each(|machine| self.plug_in(machine, &mut hub));
        self.hub.have("ip", &hub)?;
        self.machines.iter().try_for_each(|machine| self.set_up(machine))
    }
    /// The hub's lines for the link of a machine.
    fn plug_in(&self, Machine { id, namespace, .. }: &Machine, hub: &mut String) {
        let (number, own, path) = (id.0, link_address(*id), namespace.path());
        let state = if self.now.down.contains(id) { "down" } else { "up" };
        let _ = writeln!(hub, "link add machine{number} type veth peer name {INTERFACE} address {own} netns {path}");
        let _ = writeln!(hub, "link set machine{number} master bridge {state}");
    }
    fn set_up(&self, machine: &Machine) -> io::Result<()> {
        let mut lines = "link set lo up\n".to_owned();
        for address in &machine.addresses {
            let _ = writeln!(lines, "address add {address}/16 dev {INTERFACE}");
        }
        let _ = writeln!(lines, "link set {INTERFACE} up");
        for other in self.machines.iter().filter(|other| other.id != machine.id) {
            neighbours(&mut lines, other, self.now.astray.contains(&(machine.id, other.id)));
        }
        machine.namespace.have("ip", &lines)
    }
    fn try_netem(&self) -> io::Result<()> {
        let Some(machine) = self.machines.first() else { return Ok(()) };
        let one = Delay { base: Duration::from_millis(1), jitter: Duration::ZERO, loss: 0.01 };
        machine.namespace.have("tc", &shape(&[(&[Ipv4Addr::UNSPECIFIED], one)]))?;
        machine.namespace.have("tc", &format!("qdisc del dev {INTERFACE} root\n"))
    }

    /// The namespace of an actor; `None`: it sits on this machine's loopback.
    pub fn namespace(&self, actor: Address, machine: MachineId) -> Option<String> {
        let machine = self.machines.iter().find(|one| one.id == machine && is_on_it(actor))?;
        Some(machine.namespace.path())
    }
    pub fn means(&self) -> Means {
        let delays = match &self.no_netem {
            None => NETEM.to_owned(),
            Some(why) => format!("our own transport (no netem: {why})"),
        };
        Means { cuts: "veth and a network namespace a machine".to_owned(), delays }
    }
    /// Whether the kernel can make such a slow link.
    pub fn delays(&self, link: &SlowLink) -> bool {
        self.no_netem.is_none() && Delay::of(link).is_some()
    }

    /// The machine's power is lost: its kernel is gone, with whatever its sockets had yet to send. The next is cut off as it was.
    pub fn lose(&mut self, machine: MachineId) -> io::Result<()> {
        let Some(place) = self.machines.iter().position(|one| one.id == machine) else { return Ok(()) };
        // Its link goes while it is there: the kernel removes what is in a namespace that nobody holds.
        let before = std::mem::replace(&mut self.machines[place].namespace, Namespace::new()?);
        let machine = &self.machines[place];
        let mut hub = format!("link del machine{}\n", machine.id.0);
        self.plug_in(machine, &mut hub);
        self.hub.have("ip", &hub)?;
        drop(before);
        self.set_up(machine)?;
        self.machines[place].shaped = false;
        self.delay(place, &[])
    }
    /// How what a machine sends to each other is delayed by these links.
    fn to_each(&self, from: MachineId, slow: &[SlowLink]) -> Vec<(&[Ipv4Addr], Delay)> {
        let delay = |to: &Machine| {
            let those = slow.iter().filter(|link| link.from.contains(&from) && link.to.contains(&to.id));
            those.filter_map(Delay::of).fold(Delay::NONE, Delay::and)
        };
        self.machines.iter().filter(|to| to.id != from).map(|to| (&to.addresses[..], delay(to))).collect()
    }
    /// Delays what a machine sends as it is to be now, and was `before`: what is on its way stays so.
    fn delay(&mut self, place: usize, before: &[SlowLink]) -> io::Result<()> {
        let from = &self.machines[place];
        let (was, is) = (self.to_each(from.id, before), self.to_each(from.id, &self.slow));
        let lines = match from.shaped {
            true => reshape(&was, &is),
            false if is.iter().all(|(_, delay)| *delay == Delay::NONE) => return Ok(()),
            false => shape(&is),
        };
        from.namespace.have("tc", &lines)?;
        self.machines[place].shaped = true;
        Ok(())
    }
    /// What is cut from now on, and what of [`Network::delays`] is slow.
    pub fn set(&mut self, cuts: &[(MachineId, MachineId)], slow: Vec<SlowLink>) -> io::Result<()> {
        let wanted = Cuts::of(cuts, &self.machines.iter().map(|machine| machine.id).collect());
        // What is cut first: a machine that was alone, and is cut off from one still, is not to hear of that one in between.
        let ports = |machines: Vec<&MachineId>, state| {
            machines.iter().fold(String::new(), |lines, id| lines + &format!("link set machine{} {state}\n", id.0))
        };
        self.hub.have("ip", &ports(wanted.down.difference(&self.now.down).collect(), "down"))?;
        self.lead(wanted.astray.difference(&self.now.astray).copied().collect(), true)?;
        self.hub.have("ip", &ports(self.now.down.difference(&wanted.down).collect(), "up"))?;
        self.lead(self.now.astray.difference(&wanted.astray).copied().collect(), false)?;
        self.now = wanted;
        let before = std::mem::replace(&mut self.slow, slow);
        (0..self.machines.len()).try_for_each(|place| self.delay(place, &before))
    }
    /// Leads frames of the first to the second, of each pair, astray or there.
    fn lead(&self, pairs: BTreeSet<(MachineId, MachineId)>, astray: bool) -> io::Result<()> {
        for from in &self.machines {
            let mut lines = String::new();
            for to in self.machines.iter().filter(|to| pairs.contains(&(from.id, to.id))) {
                neighbours(&mut lines, to, astray);
            }
            from.namespace.have("ip", &lines)?;
        }
        Ok(())
    }
}

/// Whether the kernel lends a network; if not, why.
pub fn is_lent() -> io::Result<()> {
    Network::make(&Addresses::new(0, vec![(Address::Etcd(Member(1)), MachineId(0))]).on_network()).map(drop)
}

/// The network that is wanted, if there is one; and where its actors listen.
pub fn lent(wanted: Wanted, addresses: Addresses) -> io::Result<(Option<Network>, Means, Addresses)> {
    if wanted == Wanted::Transport {
        return Ok((None, Means::transport("as asked for"), addresses));
    }
    let networked = addresses.clone().on_network();
    match Network::make(&networked) {
        Ok(network) => {
            let means = network.means();
            Ok((Some(network), means, networked))
        }
        Err(error) if wanted == Wanted::Kernel => Err(io::Error::other(format!("the kernel lends no network: {error}"))),
        Err(error) => Ok((None, Means::transport(&error.to_string()), addresses)),
    }
}

/// Clients of services meet pods on loopback.
fn is_on_it(actor: Address) -> bool {
    !matches!(actor, Address::Traffic(_))
}

/// Lines by which frames to a machine go there, or astray.
fn neighbours(lines: &mut String, to: &Machine, astray: bool) {
    let link_address = if astray { NOBODY.to_owned() } else { link_address(to.id) };
    for address in &to.addresses {
        let _ = writeln!(lines, "neighbour replace {address} lladdr {link_address} dev {INTERFACE} nud permanent");
    }
}

/// What netem can do to what passes.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Delay {
    base: Duration,
    /// As much more or less.
    jitter: Duration,
    loss: f64,
}

/// The first number of a class: 1 is the root's.
const FIRST_CLASS: u32 = 10;

impl Delay {
    const NONE: Delay = Delay { base: Duration::ZERO, jitter: Duration::ZERO, loss: 0.0 };

    /// `None`: netem can't draw from this distribution.
    fn of(link: &SlowLink) -> Option<Delay> {
        let (low, high) = match link.latency {
            Distribution::Constant(latency) => (latency, latency),
            Distribution::Uniform { low, high } => (low, high),
            _ => return None,
        };
        let half = |nanos: u64| Duration::from_nanos(nanos / 2);
        Some(Delay { base: half(low.nanos() + high.nanos()), jitter: half(high.nanos() - low.nanos()), loss: link.loss })
    }
    /// Both; of two that jitter it is one that jitters as widely.
    fn and(self, other: Delay) -> Delay {
        let loss = 1.0 - (1.0 - self.loss) * (1.0 - other.loss);
        Delay { base: self.base + other.base, jitter: self.jitter + other.jitter, loss }
    }
    fn netem(&self) -> String {
        let (base, jitter, percent) = (self.base.nanos() / 1000, self.jitter.nanos() / 1000, self.loss * 100.0);
        let jitter = if jitter > 0 { format!(" {jitter}us") } else { String::new() };
        format!("netem delay {base}us{jitter} loss {percent}% limit 100000")
    }
}

/// Lines by which what an interface sends has a class for each of these destinations, with its delay (`tc-htb(8)`, `tc-netem(8)`).
fn shape(to: &[(&[Ipv4Addr], Delay)]) -> String {
    let mut lines = format!("qdisc add dev {INTERFACE} root handle 1: htb default 0\n");
    for (class, (addresses, delay)) in (FIRST_CLASS..).zip(to) {
        let _ = writeln!(lines, "class add dev {INTERFACE} parent 1: classid 1:{class:x} htb rate 10gbit quantum 60000");
        let _ = writeln!(lines, "qdisc add dev {INTERFACE} parent 1:{class:x} handle {class:x}: {}", delay.netem());
        for address in *addresses {
            let _ = writeln!(lines, "filter add dev {INTERFACE} parent 1: protocol ip u32 match ip dst {address}/32 flowid 1:{class:x}");
        }
    }
    lines
}

/// Lines by which the delays of these classes are others.
fn reshape(was: &[(&[Ipv4Addr], Delay)], is: &[(&[Ipv4Addr], Delay)]) -> String {
    let mut lines = String::new();
    for (class, ((_, was), (_, is))) in (FIRST_CLASS..).zip(was.iter().zip(is)) {
        if was != is {
            let _ = writeln!(lines, "qdisc change dev {INTERFACE} parent 1:{class:x} handle {class:x}: {}", is.netem());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::time::Duration as Span;

    use super::*;
    use crate::wire::NodeId;

    fn cuts(pairs: &[(u32, u32)]) -> Cuts {
        let pairs: Vec<_> = pairs.iter().map(|(from, to)| (MachineId(*from), MachineId(*to))).collect();
        Cuts::of(&pairs, &(0..3).map(MachineId).collect())
    }

    #[test]
    fn a_machine_that_nobody_reaches_has_its_link_down_and_other_cuts_lead_astray() {
        assert_eq!(cuts(&[]), Cuts::default());
        let alone = cuts(&[(0, 1), (1, 0), (0, 2), (2, 0), (0, 3), (3, 0)]);
        assert_eq!(alone, Cuts { down: [MachineId(0)].into(), ..Cuts::default() }, "3 is not on the network");
        let one_way = cuts(&[(0, 1), (0, 2), (2, 0)]);
        let pairs = [(0, 1), (0, 2), (2, 0)].map(|(from, to)| (MachineId(from), MachineId(to)));
        assert_eq!(one_way, Cuts { astray: pairs.into(), ..Cuts::default() });
        let all: Vec<_> = (0..3).flat_map(|from| (0..3).map(move |to| (from, to))).filter(|(from, to)| from != to).collect();
        assert_eq!(cuts(&all).down.len(), 3);
    }

    fn slow(latency: Distribution, loss: f64) -> SlowLink {
        SlowLink { from: vec![MachineId(0)], to: vec![MachineId(1)], latency, loss, by_kernel: true }
    }

    #[test]
    fn netem_is_told_what_it_can_draw() {
        let millis = Duration::from_millis;
        let constant = Delay::of(&slow(Distribution::Constant(millis(50)), 0.25)).expect("it can");
        let uniform = Delay::of(&slow(Distribution::Uniform { low: millis(10), high: millis(30) }, 0.0)).expect("it can");
        let (first, second) = ([Ipv4Addr::new(10, 77, 200, 1), Ipv4Addr::new(10, 77, 200, 2)], [Ipv4Addr::new(10, 77, 200, 3)]);
        let expected = "\
qdisc add dev eth0 root handle 1: htb default 0
class add dev eth0 parent 1: classid 1:a htb rate 10gbit quantum 60000
qdisc add dev eth0 parent 1:a handle a: netem delay 50000us loss 25% limit 100000
filter add dev eth0 parent 1: protocol ip u32 match ip dst 10.77.200.1/32 flowid 1:a
filter add dev eth0 parent 1: protocol ip u32 match ip dst 10.77.200.2/32 flowid 1:a
class add dev eth0 parent 1: classid 1:b htb rate 10gbit quantum 60000
qdisc add dev eth0 parent 1:b handle b: netem delay 70000us 10000us loss 25% limit 100000
filter add dev eth0 parent 1: protocol ip u32 match ip dst 10.77.200.3/32 flowid 1:b
";
        let slow_now: [(&[Ipv4Addr], Delay); 2] = [(&first, constant), (&second, constant.and(uniform))];
        assert_eq!(shape(&slow_now), expected);
        let change = "qdisc change dev eth0 parent 1:b handle b: netem delay 0us loss 0% limit 100000\n";
        assert_eq!(reshape(&slow_now, &[(&first, constant), (&second, Delay::NONE)]), change);
        let exponential = Distribution::Exponential { mean: millis(5) };
        assert_eq!(Delay::of(&slow(exponential, 0.0)), None);
    }

    /// Whether a dial from one machine to an actor is heard of within a fifth of a second.
    fn reaches(network: &Network, from: usize, to: std::net::SocketAddrV4) -> bool {
        let namespace = &network.machines[from].namespace;
        threads::apart(|| {
            setns(&namespace.0, CloneFlags::CLONE_NEWNET).expect("root enters its own namespace");
            match TcpStream::connect_timeout(&to.into(), Span::from_millis(200)) {
                Ok(_) => true,
                // Nobody listens: the machine says so.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => true,
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::TimedOut, "a cut is silent: {error}");
                    false
                }
            }
        })
    }

    #[test]
    fn machines_of_a_network_reach_one_another_unless_they_are_cut() {
        let kubelet = |n| (Address::Kubelet(NodeId(n)), MachineId(n));
        let addresses = Addresses::new(77, (0..3).map(kubelet).collect()).on_network();
        let mut network = match Network::make(&addresses) {
            Ok(network) => network,
            Err(error) => return eprintln!("skipped: {error}"),
        };
        let heard = |network: &Network| {
            let pairs = (0..3).flat_map(|from| (0..3).map(move |to| (from, to))).filter(|(from, to)| from != to);
            pairs.filter(|(from, to)| reaches(network, *from, addresses.of(Address::Kubelet(NodeId(*to as u32))))).collect::<Vec<_>>()
        };
        let pair = |from, to| (MachineId(from), MachineId(to));
        let all = [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)];
        assert_eq!(heard(&network), all);
        network.set(&[pair(0, 1), pair(1, 0), pair(0, 2), pair(2, 0)], Vec::new()).expect("links are set");
        assert_eq!(heard(&network), [(1, 2), (2, 1)], "the first is alone");
        // Either way a dial needs both.
        network.set(&[pair(0, 1)], Vec::new()).expect("links are set");
        assert_eq!(heard(&network), [(0, 2), (1, 2), (2, 0), (2, 1)]);
        network.set(&[], Vec::new()).expect("links are set");
        assert_eq!(heard(&network), all, "healed");

        network.set(&[pair(0, 1), pair(1, 0), pair(0, 2), pair(2, 0)], Vec::new()).expect("links are set");
        network.lose(MachineId(0)).expect("another kernel");
        assert_eq!(heard(&network), [(1, 2), (2, 1)], "it has no power yet");
        network.set(&[], Vec::new()).expect("links are set");
        assert_eq!(heard(&network), all, "it boots");

        let late = slow(Distribution::Constant(Duration::from_millis(400)), 0.0);
        if !network.delays(&late) {
            return eprintln!("skipped: {:?}", network.means());
        }
        network.set(&[], vec![late]).expect("links are set");
        assert_eq!(heard(&network), [(0, 2), (1, 2), (2, 0), (2, 1)], "what the first sends the second is late");
        network.set(&[], Vec::new()).expect("links are set");
        assert_eq!(heard(&network), all, "as before");
    }
}
