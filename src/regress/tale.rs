//! A run's facts in a form in which two runs can be held against each other: those of a record, or those that a baseline keeps.
//!
//! A fact is its instant, its cause, a mark (32 bits of a hash of all that it says) and its words. The words are kept as they were, so a
//! baseline can still be read when facts are called something else; they are a few bytes a fact, since every word is kept once.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;

use ruzstd::decoding::StreamingDecoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde::{Deserialize, Serialize};

use crate::base::Duration;
use crate::base::digest::Digester;
use crate::engine::record::{Entry, Record};
use crate::report::story;
use crate::wire::fact::What;

/// Of a longer run a baseline keeps the first facts only: later differences are told by the second, without what was.
pub const MOST_KEPT: usize = 5_000;
/// The first byte inside the frame.
const VERSION: u8 = 1;
/// A file of facts that unpacks to more than this is none of ours.
const MOST_BYTES: u64 = 64 << 20;

/// What two runs must agree on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Point {
    /// Since the start of the run.
    pub at: Duration,
    /// The index of the fact that led to it.
    pub cause: Option<u32>,
    pub mark: u32,
    /// The store's revision that it tells of, where it tells of one.
    pub revision: Option<u64>,
}

/// The facts of a run, in order.
pub struct Tale<'r> {
    pub points: Vec<Point>,
    /// No fact is left out at the end.
    pub whole: bool,
    words: Words<'r>,
}

enum Words<'r> {
    Record(&'r Record),
    Kept(Kept),
}

/// Sentences as numbers of words.
#[derive(Serialize, Deserialize)]
struct Kept {
    words: Vec<String>,
    sentences: Vec<Vec<u32>>,
    /// Empty for what led to nothing.
    reasons: Vec<Vec<u32>>,
}

impl<'r> Tale<'r> {
    pub fn of(record: &'r Record) -> Tale<'r> {
        let start = record.scenario.start;
        let mut buffer = Vec::new();
        let mut point = |entry: &Entry| {
            buffer.clear();
            buffer = postcard::to_extend(entry, std::mem::take(&mut buffer)).expect("a fact can be written");
            let mut digester = Digester::default();
            digester.bytes(&buffer);
            let cause = entry.cause.and_then(|id| record.facts.binary_search_by_key(&id, |entry| entry.id).ok());
            Point {
                at: entry.at.since(start),
                cause: cause.map(|index| u32::try_from(index).expect("fewer than 2^32 facts")),
                mark: digester.digest().0 as u32,
                revision: revision(&entry.fact.what),
            }
        };
        Tale { points: record.facts.iter().map(&mut point).collect(), whole: true, words: Words::Record(record) }
    }
    pub fn len(&self) -> usize {
        self.points.len()
    }
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }
    /// "worker-3 became Ready=Unknown".
    pub fn sentence(&self, index: usize) -> String {
        match &self.words {
            Words::Record(record) => story::sentence(record, &record.facts[index]),
            Words::Kept(kept) => kept.text(&kept.sentences[index]),
        }
    }
    /// What stands after "because" where the fact is a cause.
    pub fn reason(&self, index: usize) -> String {
        match &self.words {
            Words::Record(record) => story::reason(record, &record.facts[index]),
            Words::Kept(kept) => kept.text(&kept.reasons[index]),
        }
    }

    /// The facts packed for a file.
    pub fn pack(&self) -> Vec<u8> {
        let kept = self.points.len().min(MOST_KEPT);
        let mut is_cause = vec![false; kept];
        for cause in self.points[..kept].iter().filter_map(|point| point.cause) {
            is_cause[cause as usize] = true;
        }
        let mut words = Dictionary::default();
        let mut sentences = Vec::with_capacity(kept);
        let mut reasons = Vec::with_capacity(kept);
        for (index, is_cause) in is_cause.into_iter().enumerate() {
            sentences.push(words.numbers(&self.sentence(index)));
            reasons.push(if is_cause { words.numbers(&self.reason(index)) } else { Vec::new() });
        }
        let whole = self.whole && kept == self.points.len();
        let kept = (Cow::Borrowed(&self.points[..kept]), whole, Kept { words: words.words, sentences, reasons });
        let bytes = postcard::to_extend(&kept, vec![VERSION]).expect("facts can be written");
        compress_to_vec(bytes.as_slice(), CompressionLevel::Fastest)
    }
    /// The facts of such a file; the error says why it is none.
    pub fn unpack(file: &[u8]) -> Result<Tale<'static>, String> {
        let mut bytes = Vec::new();
        let decoder = StreamingDecoder::new(file).map_err(|error| error.to_string())?;
        decoder.take(MOST_BYTES).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        let body = match bytes.split_first() {
            Some((&VERSION, body)) => body,
            Some((version, _)) => return Err(format!("it has version {version}, this program reads version {VERSION}")),
            None => return Err("it is empty".to_owned()),
        };
        let (points, whole, kept): (Vec<Point>, bool, Kept) = postcard::from_bytes(body).map_err(|error| error.to_string())?;
        let known = |text: &Vec<u32>| text.iter().all(|&word| (word as usize) < kept.words.len());
        let fits = kept.sentences.len() == points.len()
            && kept.reasons.len() == points.len()
            && kept.sentences.iter().chain(&kept.reasons).all(known)
            && points.iter().enumerate().all(|(index, point)| point.cause.is_none_or(|cause| (cause as usize) < index));
        if !fits {
            return Err("its parts do not fit together".to_owned());
        }
        Ok(Tale { points, whole, words: Words::Kept(kept) })
    }
}

impl Kept {
    fn text(&self, numbers: &[u32]) -> String {
        let words: Vec<&str> = numbers.iter().map(|&number| self.words[number as usize].as_str()).collect();
        words.join(" ")
    }
}

/// Words in the order in which they first came.
#[derive(Default)]
struct Dictionary {
    words: Vec<String>,
    numbers: BTreeMap<String, u32>,
}

impl Dictionary {
    fn numbers(&mut self, text: &str) -> Vec<u32> {
        text.split(' ').map(|word| self.number(word)).collect()
    }
    fn number(&mut self, word: &str) -> u32 {
        if let Some(&number) = self.numbers.get(word) {
            return number;
        }
        let number = self.words.len() as u32;
        self.words.push(word.to_owned());
        self.numbers.insert(word.to_owned(), number);
        number
    }
}

fn revision(what: &What) -> Option<u64> {
    match what {
        What::Committed { revision, .. }
        | What::Compacted { revision }
        | What::Created { revision, .. }
        | What::Changed { revision, .. }
        | What::DeletionMarked { revision, .. }
        | What::Removed { revision }
        | What::PodBound { revision, .. }
        | What::PodPhase { revision, .. }
        | What::PodReady { revision, .. }
        | What::NodeReady { revision, .. }
        | What::Tainted { revision, .. }
        | What::Untainted { revision, .. }
        | What::Endpoints { revision, .. }
        | What::Replicas { revision, .. } => Some(revision.get()),
        _ => None,
    }
}
