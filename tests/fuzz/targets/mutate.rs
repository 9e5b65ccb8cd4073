//! Mutations of a file that leave it a file: of its values and keys, where it is JSON; of its bytes, where it is not or by chance.

use libfuzzer_sys::fuzzer_mutate;
use serde_json::{Map, Value};

/// Values that parsers of units, numbers, names and references trip over.
const EXTREMES: [&str; 52] = [
    "null", "true", "0", "-1", "1", "3", "65536", "4294967296", "9223372036854775807", "18446744073709551615", "1e308", "0.5", "-0.0", "[]",
    "{}", "\"\"", "\" \"", "\"0s\"", "\"-5s\"", "\"5m\"", "\"300\"", "\"1e9s\"", "\"876000h\"", "\"9999999999999999999d\"", "\"500m\"",
    "\"8Gi\"", "\"99999999999Ei\"", "\"-1Gi\"", "\"1e400\"", "\"1Gbit/s\"", "\"50%\"", "\"200%\"", "\"web\"", "\"default/web\"", "\"Deployment/web\"", "\"worker-0\"",
    "\"etcd-1\"", "\"zone-a\"", "\"a\"", "\"*\"", "\"\\u0000\"", "\"\\ud83e\\udd80\"", "\"..\"", "\"a/b/c/d\"", "\"2026-01-01T00:00:00Z\"",
    "\"9999-12-31T23:59:59Z\"", "\"Pod\"", "\"Running\"", "\"leader\"", "{\"a\": {\"b\": []}}", "[[[[]]]]", "\"x: y\"",
];

pub fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut chance = Chance(u64::from(seed) << 1 | 1);
    let tree = if chance.below(2) == 0 { serde_json::from_slice::<Value>(&data[..size]).ok() } else { None };
    let Some(mut tree) = tree else { return fuzzer_mutate(data, size, max_size) };
    for _ in 0..=chance.below(3) {
        change(&mut tree, &mut chance);
    }
    let text = serde_json::to_vec_pretty(&tree).expect("a tree is JSON");
    if text.len() > max_size {
        return fuzzer_mutate(data, size, max_size);
    }
    data[..text.len()].copy_from_slice(&text);
    text.len()
}

/// One change at a place that is drawn evenly from all values.
fn change(tree: &mut Value, chance: &mut Chance) {
    let count = count(tree);
    let other = nth(tree, &mut chance.below(count)).clone();
    let at = nth(tree, &mut chance.below(count));
    match (chance.below(6), at) {
        (0, Value::Object(fields)) => rename(fields, chance),
        (1, Value::Object(fields)) => {
            let key = pick(fields, chance);
            fields.remove(&key);
        }
        (2, Value::Object(fields)) => {
            // What another part of the file calls a field, or what nobody does.
            let key = match &other {
                Value::Object(others) if !others.is_empty() => pick(others, chance),
                _ => "fieldd".to_owned(),
            };
            fields.insert(key, extreme(chance));
        }
        (0 | 1, Value::Array(items)) if !items.is_empty() => {
            let index = chance.below(items.len());
            items.remove(index);
        }
        (2 | 3, Value::Array(items)) => {
            let copy = if items.is_empty() { other } else { items[chance.below(items.len())].clone() };
            items.push(copy);
        }
        (0 | 1, Value::String(text)) => {
            let cut = text.char_indices().map(|(at, _)| at).nth(chance.below(text.chars().count() + 1)).unwrap_or(text.len());
            text.insert(cut, ['0', '-', '.', 's', 'm', '/', ' ', '\u{e9}'][chance.below(8)]);
        }
        (4, at) => *at = other,
        (_, at) => *at = extreme(chance),
    }
}

fn extreme(chance: &mut Chance) -> Value {
    serde_json::from_str(EXTREMES[chance.below(EXTREMES.len())]).unwrap_or(Value::Null)
}

fn rename(fields: &mut Map<String, Value>, chance: &mut Chance) {
    let key = pick(fields, chance);
    if let Some(value) = fields.remove(&key) {
        let mut wrong: String = key.chars().rev().skip(1).collect();
        wrong = wrong.chars().rev().collect();
        fields.insert(wrong, value);
    }
}

fn pick(fields: &Map<String, Value>, chance: &mut Chance) -> String {
    if fields.is_empty() { String::new() } else { fields.keys().nth(chance.below(fields.len())).cloned().unwrap_or_default() }
}

fn count(tree: &Value) -> usize {
    1 + match tree {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
}

/// The n-th value in order of the text.
fn nth<'a>(tree: &'a mut Value, left: &mut usize) -> &'a mut Value {
    if *left == 0 {
        return tree;
    }
    *left -= 1;
    let children: Vec<&'a mut Value> = match tree {
        Value::Array(items) => items.iter_mut().collect(),
        Value::Object(fields) => fields.values_mut().collect(),
        _ => unreachable!("a value without children counts one"),
    };
    for child in children {
        let size = count(child);
        if *left < size {
            return nth(child, left);
        }
        *left -= size;
    }
    unreachable!("fewer values than were counted")
}

/// SplitMix64: a seed of libFuzzer gives the same mutation again.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound.max(1) as u64) as usize
    }
}
