//! Placement policies beyond the default profile: where a pod fits best, and on which GPUs of the node.
//!
//! Those of the study of fragmentation in GPU clusters (Weng et al., "Beware of Fragmentation", USENIX ATC 2023): random, dot product,
//! GPU clustering, GPU packing, best fit and fragmentation gradient descent; and bin packing, worst fit. A policy is one file, an entry in
//! [`POLICIES`], and its name in the scenario's format: a variant of `file::Policy` and its arm in `lower/policy.rs`. It is a pure function
//! of what a pod asks for ([`Demand`]) and what a node has left ([`Machine`]): the study ([`study`](super::study)) places whole traces with
//! it, the simulated scheduler scores its nodes with it ([`plugins`](super::plugins)).
//!
//! Floats stand only where the study's own formulas have them, in its order of operations: scores are cut to whole numbers, and another
//! last bit would choose another node. Left out: scores that look at more than one node.

mod best_fit;
mod bin_packing;
mod dot_product;
mod fragmentation;
mod fragmentation_descent;
mod gpu_clustering;
mod gpu_packing;
mod random;
mod weighted;
mod worst_fit;

#[cfg(test)]
mod tests;

pub use fragmentation::Typical;

use crate::base::Stream;

/// The best score. The least is 0.
pub const BEST: i64 = 100;

/// A whole GPU.
pub const WHOLE_GPU: i64 = 1000;

/// The extended resource in which a cluster counts GPUs, in thousandths (the trace's own domain).
pub const GPU_RESOURCE: &str = "alibabacloud.com/gpu-milli";
/// The node label with the GPUs' model.
pub const GPU_MODEL_LABEL: &str = "alibabacloud.com/gpu-card-model";

/// GPUs that a node can have.
pub const MOST_GPUS: usize = 16;

/// The node that scores are relative to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Largest {
    pub cpu: i64,
    /// Thousandths of GPUs; 0 in a cluster without: then memory stands where the study has GPUs.
    pub gpu: i64,
    pub memory: i64,
}

impl Largest {
    /// The study's (128 cores, 8 GPUs).
    pub const STUDY: Largest = Largest { cpu: 128_000, gpu: 8 * WHOLE_GPU, memory: 1 };

    /// Large enough for this node too.
    pub fn or(self, node: &Machine) -> Largest {
        let (cpu, memory) = node.capacity;
        Largest { cpu: self.cpu.max(cpu), gpu: self.gpu.max(node.free().len() as i64 * WHOLE_GPU), memory: self.memory.max(memory) }
    }

    /// CPU, and GPUs or memory, of what a node has left, with what these are shares of.
    fn left(&self, node: &Machine) -> [(i64, f64); 2] {
        self.both(node.cpu, node.free_gpu(), node.memory)
    }
    /// The same of what a pod asks for.
    fn asked(&self, pod: &Demand) -> [(i64, f64); 2] {
        self.both(pod.cpu, pod.gpu(), pod.memory)
    }
    fn both(&self, cpu: i64, gpu: i64, memory: i64) -> [(i64, f64); 2] {
        let second = if self.gpu > 0 { (gpu, self.gpu as f64) } else { (memory, self.memory.max(1) as f64) };
        [(cpu, self.cpu.max(1) as f64), second]
    }
}

/// What a policy may know before the first pod.
#[derive(Clone, PartialEq, Debug)]
pub struct Prospect {
    /// The pods that are to be expected.
    pub pods: Vec<Demand>,
    pub largest: Largest,
}

/// What a pod asks for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Demand {
    /// Thousandths of a core.
    pub cpu: i64,
    /// In any unit, the same for pods and nodes.
    pub memory: i64,
    /// How many GPUs.
    pub gpus: usize,
    /// Thousandths of each; less than a whole only of a single one.
    pub gpu_milli: i64,
    pub models: Models,
}

/// GPU models that a pod accepts. Ordered as what was written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Models {
    /// The place of what was written among all that pods have; 0 is nothing.
    pub rank: u16,
    /// Bit n is model n.
    pub accepted: u64,
}

/// Models of GPUs that a trace can have.
pub const MOST_MODELS: usize = 64;

impl Models {
    pub const ANY: Models = Models { rank: 0, accepted: u64::MAX };

    pub fn accepts(self, model: u8) -> bool {
        self.accepted & (1 << model) != 0
    }
}

impl Demand {
    /// Thousandths of GPUs in all.
    pub fn gpu(&self) -> i64 {
        self.gpus as i64 * self.gpu_milli
    }
    /// It takes a part of one GPU.
    pub fn shares(&self) -> bool {
        self.gpus == 1 && self.gpu_milli < WHOLE_GPU
    }
    /// Pods of a class like to be together: those that share a GPU, and those of each number of whole ones.
    fn class(&self) -> usize {
        if self.shares() { 0 } else { self.gpus }
    }
}

/// What a node has left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Machine {
    pub cpu: i64,
    pub memory: i64,
    /// Pods that it takes yet.
    pub pods: i64,
    /// CPU and memory of the empty node.
    capacity: (i64, i64),
    /// The number of its GPUs' model.
    pub model: u8,
    gpus: u8,
    free: [i16; MOST_GPUS],
    /// Pods with GPUs by their class.
    classes: [u16; MOST_GPUS + 1],
}

impl Machine {
    pub fn new(cpu: i64, memory: i64, pods: i64, gpus: usize, model: u8) -> Machine {
        assert!(gpus <= MOST_GPUS, "{gpus} GPUs");
        let mut free = [0; MOST_GPUS];
        free[..gpus].fill(WHOLE_GPU as i16);
        Machine { cpu, memory, pods, capacity: (cpu, memory), model, gpus: gpus as u8, free, classes: [0; MOST_GPUS + 1] }
    }
    /// The same GPUs on a node that has so much in all, and so much left of it.
    pub fn with_rest(&self, cpu: (i64, i64), memory: (i64, i64), pods: i64, model: u8) -> Machine {
        Machine { cpu: cpu.1, memory: memory.1, pods, model, capacity: (cpu.0, memory.0), ..*self }
    }
    /// Thousandths that each GPU has left.
    pub fn free(&self) -> &[i16] {
        &self.free[..usize::from(self.gpus)]
    }
    /// Thousandths that all GPUs together have left.
    pub fn free_gpu(&self) -> i64 {
        self.free().iter().map(|free| i64::from(*free)).sum()
    }
    fn whole_free(&self) -> usize {
        self.free().iter().filter(|free| i64::from(**free) == WHOLE_GPU).count()
    }
    /// The GPUs that have room for what the pod asks of each.
    fn fitting(&self, pod: &Demand) -> impl Iterator<Item = usize> + '_ {
        let wanted = pod.gpu_milli;
        self.free().iter().enumerate().filter(move |(_, free)| i64::from(**free) >= wanted).map(|(device, _)| device)
    }
    pub fn fits(&self, pod: &Demand) -> bool {
        self.cpu >= pod.cpu && self.memory >= pod.memory && self.pods > 0 && self.gpus_fit(pod)
    }
    /// Whether its GPUs alone would do.
    pub fn gpus_fit(&self, pod: &Demand) -> bool {
        pod.gpus == 0 || (pod.models.accepts(self.model) && self.fitting(pod).take(pod.gpus).count() == pod.gpus)
    }
    /// Its GPUs that the pod would take: one that the policy chose, or the first that are wholly free.
    pub fn devices(&self, pod: &Demand, shared: impl FnOnce() -> usize) -> Devices {
        match pod.gpus {
            0 => Devices::default(),
            _ if pod.shares() => Devices(1 << shared()),
            _ => Devices(self.fitting(pod).take(pod.gpus).fold(0, |devices, device| devices | 1 << device)),
        }
    }
    /// The pod takes its place.
    pub fn place(&mut self, pod: &Demand, devices: Devices) {
        self.change(pod, devices, 1);
    }
    /// The pod is gone.
    pub fn release(&mut self, pod: &Demand, devices: Devices) {
        self.change(pod, devices, -1);
    }
    fn change(&mut self, pod: &Demand, devices: Devices, sign: i64) {
        self.cpu -= sign * pod.cpu;
        self.memory -= sign * pod.memory;
        self.pods -= sign;
        for device in devices.iter() {
            self.free[device] -= (sign * pod.gpu_milli) as i16;
        }
        if pod.gpus > 0 {
            // A pod that names its node is there whether it fits or not: one of more GPUs than any node has is in no class.
            if let Some(class) = self.classes.get_mut(pod.class()) {
                *class = class.wrapping_add_signed(sign as i16);
            }
        }
    }
    /// After the pod took these GPUs.
    fn with(&self, pod: &Demand, devices: Devices) -> Machine {
        let mut after = *self;
        after.place(pod, devices);
        after
    }
    /// The GPU with the least left that has room; the first of several.
    pub fn tightest(&self, pod: &Demand) -> usize {
        self.fitting(pod).min_by_key(|device| self.free[*device]).expect("the pod fits")
    }
}

/// GPUs of a node: bit n is number n.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Devices(pub u16);

impl Devices {
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..MOST_GPUS).filter(move |device| self.0 & (1 << device) != 0)
    }
}

/// A policy. A larger score is a better node; it depends on nothing but the pod and what the node has left.
pub trait Policy: Sync + Send {
    /// 0 to [`BEST`], for a node that the pod fits.
    fn score(&self, pod: &Demand, node: &Machine) -> i64;
    /// Brings the scores of all feasible nodes into 0 to [`BEST`], order and ties kept.
    fn normalize(&self, _scores: &mut [i64]) {}
    /// Among nodes of the best score: the first one, unless the policy wants chance.
    fn draws(&self) -> bool {
        false
    }
    /// The GPU for a pod that shares one.
    fn device(&self, pod: &Demand, node: &Machine, _chance: &mut Stream) -> usize {
        node.tightest(pod)
    }
}

/// A policy's name and how it comes to be.
#[derive(Clone, Copy, Debug)]
pub struct Registered {
    /// As scenarios call it.
    pub name: &'static str,
    /// As the study's result files call it; `None` for those that it does not have.
    pub label: Option<&'static str>,
    make: fn(&Prospect) -> Box<dyn Policy>,
}

impl Registered {
    pub fn make(&self, prospect: &Prospect) -> Box<dyn Policy> {
        (self.make)(prospect)
    }
}

impl PartialEq for Registered {
    fn eq(&self, other: &Registered) -> bool {
        self.name == other.name
    }
}

/// One policy, or several with their weights.
#[derive(Clone)]
pub struct Choice(pub Vec<(&'static Registered, i64)>);

impl Choice {
    pub fn make(&self, prospect: &Prospect) -> Box<dyn Policy> {
        match &self.0[..] {
            [(only, _)] => only.make(prospect),
            several => Box::new(weighted::Weighted(several.iter().map(|(part, weight)| (part.make(prospect), *weight)).collect())),
        }
    }
    /// `fgd`, or `2*fgd+best-fit`.
    pub fn name(&self) -> String {
        let name = |(part, weight): &(&Registered, i64)| match weight {
            1 => part.name.to_owned(),
            _ => format!("{weight}*{}", part.name),
        };
        match &self.0[..] {
            [(only, _)] => only.name.to_owned(),
            several => several.iter().map(name).collect::<Vec<_>>().join("+"),
        }
    }
    /// As the study's result files call it, if they do.
    pub fn label(&self) -> String {
        match &self.0[..] {
            [(Registered { label: Some(label), .. }, _)] => (*label).to_owned(),
            _ => self.name(),
        }
    }
}

/// In the order of the study; then ours.
pub const POLICIES: [Registered; 8] = [
    Registered { name: "random", label: Some("01-Random"), make: |_| Box::new(random::Random) },
    Registered { name: "dot-product", label: Some("02-DotProd"), make: |prospect| Box::new(dot_product::DotProduct(prospect.largest)) },
    Registered {
        name: "gpu-clustering",
        label: Some("03-GpuClustering"),
        make: |prospect| Box::new(gpu_clustering::GpuClustering(prospect.largest)),
    },
    Registered { name: "gpu-packing", label: Some("04-GpuPacking"), make: |_| Box::new(gpu_packing::GpuPacking) },
    Registered { name: "best-fit", label: Some("05-BestFit"), make: |prospect| Box::new(best_fit::BestFit(prospect.largest)) },
    Registered {
        name: "fgd",
        label: Some("06-FGD"),
        make: |prospect| Box::new(fragmentation_descent::FragmentationDescent::new(Typical::of(&prospect.pods))),
    },
    Registered { name: "bin-packing", label: None, make: |_| Box::new(bin_packing::BinPacking) },
    Registered { name: "worst-fit", label: None, make: |prospect| Box::new(worst_fit::WorstFit(prospect.largest)) },
];

pub fn named(name: &str) -> Option<&'static Registered> {
    POLICIES.iter().find(|policy| policy.name == name)
}
