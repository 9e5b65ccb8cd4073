//! A journal fed back to the actor that it was of: the same inputs at the same times must give the same effects.

use std::io;

use super::arrival::Caused;
use super::control::Setup;
use super::journal::{self, Line, Reader};
use super::live::Backend;
use super::role;
use crate::base::{Cause, Digest, Time};
use crate::engine::plan::Plan;
use crate::wire::{Boot, DiskRecord, Effect};

/// What a replay came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    pub turns: u64,
    pub effects: u64,
    pub facts: u64,
    /// The process ended in order, so that its facts could be compared, too.
    pub whole: bool,
    /// The first difference.
    pub difference: Option<String>,
}

/// The beginning of a journal.
pub struct Beginning {
    pub setup: Setup,
    at: Time,
    disk: Vec<DiskRecord>,
    reader: Reader,
}

/// Opens a journal.
pub fn open(path: &std::path::Path) -> io::Result<Beginning> {
    let mut reader = Reader::open(path)?;
    match reader.read()? {
        Some(Line::Begin { setup, at, disk }) => Ok(Beginning { setup: *setup, at, disk, reader }),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "no journal: its first line is another")),
    }
}

/// Plays it. `plan` is that of the setup's scenario.
pub fn play(beginning: Beginning, plan: Plan) -> io::Result<Replayed> {
    let Beginning { setup, at, disk, reader } = beginning;
    let backend = Recorded { reader, made: Vec::new(), outcome: None, last: at, over: false, result: Replayed::empty(), error: None };
    let boot = Boot { incarnation: setup.incarnation, machine_boot: setup.machine_boot, disk, damaged: Vec::new() };
    let mut engine = role::engine(plan, &setup, at, boot, backend);
    while !engine.host.backend.over {
        engine.turn();
    }
    if let Some(error) = engine.host.backend.error.take() {
        return Err(error);
    }
    let (mut result, outcome) = (engine.host.backend.result.clone(), engine.host.backend.outcome);
    result.facts = engine.recorder.facts().len() as u64;
    result.whole = outcome.is_some();
    if let Some(outcome) = outcome.filter(|outcome| *outcome != engine.recorder.outcome_digest()) {
        result.differs(format!("the facts' digest was {outcome} and is {}", engine.recorder.outcome_digest()));
    }
    Ok(result)
}

impl Replayed {
    fn empty() -> Replayed {
        Replayed { turns: 0, effects: 0, facts: 0, whole: false, difference: None }
    }
    fn differs(&mut self, how: String) {
        self.difference.get_or_insert(how);
    }
}

/// The world, from a journal.
struct Recorded {
    reader: Reader,
    /// Effects since the line before: digest, and text for a message.
    made: Vec<(Digest, String)>,
    outcome: Option<Digest>,
    last: Time,
    over: bool,
    result: Replayed,
    error: Option<io::Error>,
}

impl Recorded {
    fn compare(&mut self, recorded: &[Digest]) {
        let turn = self.result.turns;
        for (number, (digest, what)) in self.made.iter().enumerate() {
            if recorded.get(number) != Some(digest) {
                self.over = true;
                return self.result.differs(format!("after turn {turn}, effect {number} is not the recorded one: {what}"));
            }
        }
        if self.made.len() < recorded.len() {
            self.over = true;
            let (made, recorded) = (self.made.len(), recorded.len());
            self.result.differs(format!("after turn {turn}, {made} effects of {recorded}"));
        }
        self.result.effects += self.made.len() as u64;
        self.made.clear();
    }
}

impl Backend for Recorded {
    fn wait(&mut self, _deadline: Time) -> (Time, Vec<Caused>) {
        match self.reader.read() {
            Ok(Some(Line::Turn { effects, reached, arrivals })) => {
                self.compare(&effects);
                self.result.turns += 1;
                self.last = reached;
                return (reached, arrivals);
            }
            Ok(Some(Line::End { effects, outcome })) => {
                self.compare(&effects);
                self.outcome = Some(outcome);
            }
            Ok(Some(Line::Begin { .. })) => self.result.differs("a second beginning".to_owned()),
            // Killed: what it did after the last line, nobody wrote down.
            Ok(None) => {}
            Err(error) => self.error = Some(error),
        }
        self.over = true;
        (self.last, Vec::new())
    }
    fn perform(&mut self, _now: Time, cause: Cause, effect: Effect) {
        let digest = journal::digest_of(&journal::bytes_of(cause, &effect));
        let text = format!("{effect:?}");
        self.made.push((digest, text.chars().take(300).collect()));
    }
}
