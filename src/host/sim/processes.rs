//! The processes of a run, found by their addresses without hashing.

use std::ops::Index;

use super::Process;
use crate::engine::run::Directory;
use crate::wire::Address;

/// See the module. What is no process - a pod, a balancer - is not found.
pub struct Processes {
    directory: Directory,
    all: Vec<(Address, Process)>,
}

impl Processes {
    /// In the order that [`Directory`] wants.
    pub(super) fn new(all: Vec<(Address, Process)>) -> Processes {
        let addresses: Vec<Address> = all.iter().map(|(address, _)| *address).collect();
        Processes { directory: Directory::new(&addresses), all }
    }
    pub(super) fn get(&self, address: &Address) -> Option<&Process> {
        let (found, process) = self.all.get(self.directory.find(*address)?)?;
        (found == address).then_some(process)
    }
    pub(super) fn get_mut(&mut self, address: &Address) -> Option<&mut Process> {
        let (found, process) = self.all.get_mut(self.directory.find(*address)?)?;
        (found == address).then_some(process)
    }
    /// By which [`Processes::at`] finds it again.
    pub(super) fn number(&self, address: Address) -> Option<u64> {
        self.directory.find(address).map(|number| number as u64)
    }
    pub(super) fn at(&self, number: u64) -> (Address, &Process) {
        let (address, process) = &self.all[number as usize];
        (*address, process)
    }
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Address, &Process)> {
        self.all.iter().map(|(address, process)| (address, process))
    }
}

impl Index<&Address> for Processes {
    type Output = Process;
    fn index(&self, address: &Address) -> &Process {
        self.get(address).expect("every process has a place")
    }
}
