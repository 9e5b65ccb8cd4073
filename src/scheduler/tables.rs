//! What plugins say of every node that depends on nothing but the node and what a pod asks of it: kept from cycle to cycle, and asked again
//! only for nodes that changed since (upstream filters and scores every node for every pod).
//!
//! A table belongs to a profile and an [`Ask`](super::pods::Ask): pods of many workloads share one, since labels, spread constraints and pod
//! affinity are not part of it. The plugins themselves fill it, so that it cannot say anything else than they do; a test holds the
//! decisions that come of it equal to those of the plain form (`tests.rs`).

use super::nodes::{NodeTable, Slot};
use super::plugins::{Cycle, Filter, PluginId};
use super::profile::Profile;
use crate::base::Map;

/// The tables in use.
#[derive(Default)]
pub struct Tables {
    tables: Map<(u32, u32), Table>,
    /// How often some table was asked for.
    uses: u64,
}

/// So many are kept: one has some 25 bytes a node. Beyond that the one longest unused goes.
const MOST: usize = 64;

/// By slot; slots without a node hold anything.
pub struct Table {
    /// What the table is true for: changes of the cluster as a whole, and of single nodes up to here.
    epoch: u64,
    seen: usize,
    used: u64,
    fits: Vec<bool>,
    /// The weighted sum of the scores that are not normalised.
    sums: Vec<i64>,
    /// Raw scores of the plugins that are normalised over the feasible nodes.
    raw: Vec<Raw>,
}

pub struct Raw {
    pub plugin: PluginId,
    pub scores: Vec<i64>,
    /// How many are not zero; if none is, the plugin prefers no node.
    pub nonzero: usize,
}

impl Tables {
    /// The table for a pod, true for the cluster as it is. `filters` are the pod's.
    pub fn get<'f, 'a: 'f>(
        &mut self,
        profile: &Profile,
        cycle: Cycle<'a>,
        filters: impl Iterator<Item = &'f dyn Filter> + Clone,
    ) -> &Table {
        self.uses += 1;
        let key = (profile.number(), cycle.pod.shape.ask);
        if !self.tables.contains_key(&key) && self.tables.len() >= MOST {
            let oldest = self.tables.iter().min_by_key(|(_, table)| table.used).map(|(key, _)| *key).expect("there are tables");
            self.tables.remove(&oldest);
        }
        let table = self.tables.entry(key).or_insert_with(Table::new);
        table.used = self.uses;
        table.update(profile, cycle, filters);
        table
    }
}

impl Table {
    fn new() -> Table {
        // The epoch of no cluster: all is asked for at first use.
        Table { epoch: u64::MAX, seen: 0, used: 0, fits: Vec::new(), sums: Vec::new(), raw: Vec::new() }
    }

    pub fn fits(&self, slot: Slot) -> bool {
        self.fits[slot.index()]
    }
    pub fn sum(&self, slot: Slot) -> i64 {
        self.sums[slot.index()]
    }
    pub fn raw(&self, plugin: PluginId) -> Option<&Raw> {
        self.raw.iter().find(|raw| raw.plugin == plugin)
    }

    fn update<'f, 'a: 'f>(&mut self, profile: &Profile, cycle: Cycle<'a>, filters: impl Iterator<Item = &'f dyn Filter> + Clone) {
        let nodes = cycle.snapshot.nodes();
        let changes = nodes.changes();
        if self.epoch == changes.epoch && self.seen == changes.slots.len() {
            return;
        }
        let changed = &changes.slots[self.seen.min(changes.slots.len())..];
        // Beyond some share of the nodes the whole pass, which reads columns, is the faster one.
        let all = self.epoch != changes.epoch || changed.len() * 4 > nodes.len();
        if all {
            self.fits = vec![false; nodes.slots()];
            self.sums = vec![0; nodes.slots()];
            self.raw.clear();
            self.ask(profile, cycle, filters, nodes.order(), nodes);
        } else {
            let mut exist: Vec<Slot> = changed.iter().copied().filter(|slot| nodes.info(*slot).object.is_some()).collect();
            exist.sort_unstable();
            exist.dedup();
            self.ask(profile, cycle, filters, &exist, nodes);
        }
        (self.epoch, self.seen) = (changes.epoch, changes.slots.len());
    }

    /// Asks the plugins about these nodes, each of which is named once.
    fn ask<'f, 'a: 'f>(
        &mut self,
        profile: &Profile,
        cycle: Cycle<'a>,
        filters: impl Iterator<Item = &'f dyn Filter>,
        slots: &[Slot],
        nodes: &NodeTable,
    ) {
        let mut fit = vec![true; slots.len()];
        for filter in filters {
            filter.filter_all(slots, nodes, &mut fit);
        }
        for (slot, fit) in slots.iter().zip(fit) {
            self.fits[slot.index()] = fit;
            self.sums[slot.index()] = 0;
        }
        let mut scores = vec![0; slots.len()];
        for (plugin, weight) in profile.scores().iter().filter(|(plugin, _)| plugin.is_of_node()) {
            let Some(score) = plugin.pre_score(cycle, slots) else { continue };
            score.score_all(slots, nodes, &mut scores);
            if score.is_normalized() {
                self.keep_raw(plugin.id(), slots, &scores);
            } else {
                for (slot, score) in slots.iter().zip(&scores) {
                    self.sums[slot.index()] += weight * score;
                }
            }
        }
    }

    fn keep_raw(&mut self, plugin: PluginId, slots: &[Slot], scores: &[i64]) {
        let at = self.raw.iter().position(|raw| raw.plugin == plugin).unwrap_or_else(|| {
            self.raw.push(Raw { plugin, scores: vec![0; self.sums.len()], nonzero: 0 });
            self.raw.len() - 1
        });
        let Raw { scores: kept, nonzero, .. } = &mut self.raw[at];
        for (slot, score) in slots.iter().zip(scores) {
            let before = std::mem::replace(&mut kept[slot.index()], *score);
            *nonzero = *nonzero + usize::from(*score != 0) - usize::from(before != 0);
        }
    }
}

/// What changed, for tables that are behind.
#[derive(Default)]
pub struct Changes {
    /// Grows when something changed that may concern every node: which nodes there are, their order, what images are where.
    pub epoch: u64,
    /// The nodes that changed since the epoch began.
    pub slots: Vec<Slot>,
}

impl Changes {
    pub fn node(&mut self, slot: Slot, nodes: usize) {
        // A bound on memory: then everything is asked again once.
        if self.slots.len() > 4 * nodes + 4096 {
            self.everything();
        }
        self.slots.push(slot);
    }
    pub fn everything(&mut self) {
        self.epoch += 1;
        self.slots.clear();
    }
}
