//! What the scheduler needs to know of a pod, computed once for all pods of a template (upstream `framework/types.go`, PodInfo).

use std::sync::Arc;

use crate::base::{Map, Name};
use crate::objects::pod::{ResourceList, UsedClaim};
use crate::objects::scheduling::NodeAffinity;
use crate::objects::{Key, Labels, Object, PersistentVolumeClaim, Pod, PodSpec, Quantity, Shared, Toleration};

/// Whole amounts of resources: CPU in milli-CPU, all else in units, both rounded up once, on the finished sum.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Amounts {
    pub cpu: i64,
    pub memory: i64,
    pub ephemeral: i64,
    /// Extended resources, huge pages and attachable volumes, sorted by name; a zero entry counts as mentioned.
    pub scalars: Vec<(Name, i64)>,
}

impl Amounts {
    pub fn of(list: &ResourceList) -> Amounts {
        let mut amounts = Amounts::default();
        for (name, quantity) in list {
            match name.as_str() {
                "cpu" => amounts.cpu = quantity.milli_value(),
                "memory" => amounts.memory = quantity.value(),
                "ephemeral-storage" => amounts.ephemeral = quantity.value(),
                other if is_scalar(other) => amounts.scalars.push((name.clone(), quantity.value())),
                _ => {}
            }
        }
        amounts
    }
    pub fn scalar(&self, name: &str) -> i64 {
        self.scalars.binary_search_by(|(have, _)| have.as_str().cmp(name)).map_or(0, |at| self.scalars[at].1)
    }
    /// Nothing is asked for, not even zero of a scalar resource.
    pub fn is_nothing(&self) -> bool {
        self.cpu == 0 && self.memory == 0 && self.ephemeral == 0 && self.scalars.is_empty()
    }
    /// Adds `other` `times` times; -1 takes it away again.
    pub fn add(&mut self, other: &Amounts, times: i64) {
        self.cpu += times * other.cpu;
        self.memory += times * other.memory;
        self.ephemeral += times * other.ephemeral;
        for (name, amount) in &other.scalars {
            match self.scalars.binary_search_by(|(have, _)| have.cmp(name)) {
                Ok(at) => self.scalars[at].1 += times * amount,
                Err(at) => self.scalars.insert(at, (name.clone(), times * amount)),
            }
        }
    }
}

/// `schedutil.IsScalarResourceName`: extended resources, huge pages, attachable volumes and names in a `kubernetes.io/` domain.
fn is_scalar(name: &str) -> bool {
    name.starts_with("hugepages-")
        || name.starts_with("attachable-volumes-")
        || name.contains("kubernetes.io/")
        || (name.contains('/') && !name.starts_with("requests."))
}

/// A port of the node that a pod takes for itself.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct HostPort {
    pub port: u16,
    pub protocol: Name,
    pub ip: Name,
}

const ANY_IP: &str = "0.0.0.0";

impl HostPort {
    /// Same protocol and number, and the same address or one of them the wildcard; `::` is not special.
    pub fn conflicts(&self, other: &HostPort) -> bool {
        self.port == other.port && self.protocol == other.protocol && (self.ip == other.ip || self.ip == *ANY_IP || other.ip == *ANY_IP)
    }
}

/// What a container that does not mention CPU counts for in scores: 100m (`schedutil.DefaultMilliCPURequest`).
const DEFAULT_CPU: Quantity = Quantity::from_milli(100);
/// The same for memory: 200 MiB (`schedutil.DefaultMemoryRequest`).
const DEFAULT_MEMORY: Quantity = Quantity::from_bytes(200 << 20);

/// What the spec alone decides.
#[derive(Debug)]
pub struct Shape {
    pub requests: Amounts,
    /// CPU and memory with defaults for silent containers, as a node adds them up.
    pub nonzero: (i64, i64),
    /// The same as the LeastAllocated score of the pod itself reads it: without pod-level resources, a peculiarity of v1.34.
    pub nonzero_for_score: (i64, i64),
    pub ports: Vec<HostPort>,
    /// Images of init and app containers, `:latest` appended where no tag is given; one entry a container.
    pub images: Vec<Name>,
    pub priority: i64,
    /// There is a `podAffinity` or `podAntiAffinity` stanza.
    pub has_pod_affinity: bool,
    /// Some volume uses a claim.
    pub uses_claims: bool,
    /// The number of its [`Ask`].
    pub ask: u32,
}

/// All that a pod asks of a node by itself, whatever other pods are where: what the answers of such plugins depend on.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Ask {
    requests: Amounts,
    nonzero_for_score: (i64, i64),
    ports: Vec<HostPort>,
    images: Vec<Name>,
    node_selector: Labels,
    node_affinity: Option<NodeAffinity>,
    tolerations: Vec<Toleration>,
}

impl Ask {
    fn of(spec: &PodSpec, shape: &Shape) -> Ask {
        Ask {
            requests: shape.requests.clone(),
            nonzero_for_score: shape.nonzero_for_score,
            ports: shape.ports.clone(),
            images: shape.images.clone(),
            node_selector: spec.node_selector.clone(),
            node_affinity: spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.clone()),
            tolerations: spec.tolerations.clone(),
        }
    }
}

impl Shape {
    fn of(spec: &PodSpec) -> Shape {
        let requests = spec.requests();
        let with_defaults = |spec: &PodSpec| {
            spec.requests_with(|container| {
                let mut list = container.resources.requests.clone();
                list.entry(Name::new("cpu")).or_insert(DEFAULT_CPU);
                list.entry(Name::new("memory")).or_insert(DEFAULT_MEMORY);
                list
            })
        };
        let silent = match &spec.resources {
            None => with_defaults(spec),
            Some(_) => with_defaults(&PodSpec { resources: None, ..spec.clone() }),
        };
        let cpu_and_memory = |list: &ResourceList| {
            let amounts = Amounts::of(list);
            (amounts.cpu, amounts.memory)
        };
        let nonzero_for_score = cpu_and_memory(&silent);
        let nonzero = if spec.resources.as_ref().is_some_and(|pod_level| !pod_level.requests.is_empty()) {
            let mut list = requests.clone();
            for name in ["cpu", "memory"] {
                if let (false, Some(amount)) = (list.contains_key(name), silent.get(name)) {
                    list.insert(Name::new(name), *amount);
                }
            }
            cpu_and_memory(&list)
        } else {
            nonzero_for_score
        };
        let ports = spec
            .containers
            .iter()
            .chain(spec.init_containers.iter().filter(|container| container.is_sidecar()))
            .flat_map(|container| &container.ports)
            .filter_map(|port| {
                let or = |text: &Name, default: &str| if text.is_empty() { Name::new(default) } else { text.clone() };
                let number = port.host_port.filter(|number| *number > 0)?;
                Some(HostPort { port: number, protocol: or(&port.protocol, "TCP"), ip: or(&port.host_ip, ANY_IP) })
            })
            .collect();
        let affinity = spec.affinity.as_ref();
        Shape {
            requests: Amounts::of(&requests),
            nonzero,
            nonzero_for_score,
            ports,
            images: spec.init_containers.iter().chain(&spec.containers).map(|container| normalized_image(&container.image)).collect(),
            priority: spec.priority.unwrap_or(0),
            has_pod_affinity: affinity.is_some_and(|affinity| affinity.pod_affinity.is_some() || affinity.pod_anti_affinity.is_some()),
            uses_claims: spec.uses_claims(),
            ask: 0,
        }
    }
}

/// `repo` means `repo:latest`.
pub fn normalized_image(image: &Name) -> Name {
    let tagged = match (image.rfind(':'), image.rfind('/')) {
        (Some(colon), Some(slash)) => colon > slash,
        (colon, _) => colon.is_some(),
    };
    if tagged { image.clone() } else { Name::from(format!("{image}:latest")) }
}

/// Shapes by spec: pods of a template share theirs.
#[derive(Default)]
pub struct Shapes {
    known: Map<Shared<PodSpec>, Arc<Shape>>,
    asks: Map<Ask, u32>,
    next_ask: u32,
}

impl Shapes {
    /// Specs are forgotten all at once at this many: a bound on memory that no decision can notice.
    const MOST: usize = 65_536;

    pub fn of(&mut self, spec: &Shared<PodSpec>) -> Arc<Shape> {
        if let Some(shape) = self.known.get(spec) {
            return shape.clone();
        }
        if self.known.len() >= Self::MOST {
            self.known.clear();
            self.asks.clear();
        }
        let mut shape = Shape::of(spec);
        let next = &mut self.next_ask;
        shape.ask = *self.asks.entry(Ask::of(spec, &shape)).or_insert_with(|| {
            *next += 1;
            *next
        });
        let shape = Arc::new(shape);
        self.known.insert(spec.clone(), shape.clone());
        shape
    }
}

/// A pod as the scheduler handles it.
#[derive(Clone, Debug)]
pub struct PodInfo {
    pub key: Key,
    pub object: Arc<Object>,
    pub shape: Arc<Shape>,
}

impl PodInfo {
    pub fn pod(&self) -> &Pod {
        self.object.as_pod().expect("a PodInfo is made from a pod")
    }
    pub fn spec(&self) -> &PodSpec {
        &self.pod().spec
    }
    pub fn labels(&self) -> &Labels {
        &self.pod().meta.labels
    }
    pub fn namespace(&self) -> &Name {
        &self.pod().meta.namespace
    }
    /// The claims that its volumes use; nothing is looked at for a pod without any.
    pub fn claims(&self) -> impl Iterator<Item = UsedClaim<'_>> {
        self.shape.uses_claims.then(|| self.pod().claims()).into_iter().flatten()
    }
    /// Whether one of its volumes uses this claim.
    pub fn uses_claim(&self, claim: &PersistentVolumeClaim) -> bool {
        *self.namespace() == claim.meta.namespace && self.claims().any(|used| used.name == claim.meta.name)
    }
}
