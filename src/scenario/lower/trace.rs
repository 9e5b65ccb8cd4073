//! Traces: CSV files to rows of whole numbers. Every error tells the file, the line and the column; all fields of a file that are wrong are
//! told together, if it has the columns and every row as many fields as the header.

use std::borrow::Cow;

use csv::StringRecord;

use super::{Lowering, at, short};
use crate::base::Duration;
use crate::manifest::{self, InputError, Node, Place, Step};
use crate::scenario::file::{NodeColumns, PodColumns, Trace, TraceFormat};
use crate::scenario::units::{parse_duration, parse_quantity};
use crate::scenario::{shipped, unpacked};
use crate::scheduler::policies::{MOST_GPUS, WHOLE_GPU};

/// CPU and memory of a pod or node: below this, sums of many fit.
const MOST_AMOUNT: i64 = 1 << 50;

/// A file of a trace.
pub struct Text {
    /// As errors name it.
    pub shown: String,
    /// Without folder and endings.
    pub stem: String,
    pub text: String,
}

/// A pod of the trace. Amounts are in thousandths of a core and in bytes.
#[derive(Clone, Debug)]
pub struct PodRow {
    pub place: Place,
    pub name: String,
    pub cpu: i64,
    pub memory: i64,
    pub gpus: usize,
    pub gpu_milli: i64,
    /// As written.
    pub models: String,
    pub arrival: Option<Duration>,
    pub duration: Option<Duration>,
}

#[derive(Clone, Debug)]
pub struct NodeRow {
    pub place: Place,
    pub name: String,
    pub cpu: i64,
    pub memory: i64,
    pub gpus: usize,
    pub model: String,
}

impl Lowering<'_> {
    pub fn trace_pods(&mut self, trace: &Trace, text: &Text) -> Vec<PodRow> {
        let openb = trace.format == TraceFormat::Openb;
        let columns = match openb {
            true => PodColumns {
                cpu: "cpu_milli".to_owned(),
                memory: "memory_mib".to_owned(),
                gpus: "num_gpu".to_owned(),
                gpu_models: "gpu_spec".to_owned(),
                ..PodColumns::default()
            },
            false => trace.pod_columns.clone().unwrap_or_default(),
        };
        let Some(table) = self.table(text) else { return Vec::new() };
        let PodColumns { name, cpu, memory, gpus, gpu_milli, .. } = &columns;
        let wanted = [(name, true), (cpu, true), (memory, true), (gpus, openb), (gpu_milli, openb)];
        let Some([Some(name), Some(cpu), Some(memory), gpus, milli]) = self.columns(&table, wanted) else { return Vec::new() };
        let models = table.optional(&columns.gpu_models);
        let times = match openb {
            true => ["creation_time", "scheduled_time", "deletion_time"].map(|name| table.optional(name)),
            false => [table.optional(&columns.arrival), None, table.optional(&columns.duration)],
        };
        let mut rows = Vec::with_capacity(table.rows.len());
        for row in &table.rows {
            let mut read = Reading { table: &table, row, errors: Vec::new() };
            let gpu_count = gpus.map_or(0, |column| read.whole(column, MOST_GPUS as i64)) as usize;
            // As the study reads it: more than a whole GPU is one, and who asks for none, or for nothing of one, has no share.
            let gpu_milli = milli.map_or(WHOLE_GPU, |column| read.whole(column, i64::MAX)).min(WHOLE_GPU);
            let gpus = if gpu_milli == 0 { 0 } else { gpu_count };
            let [arrival, began, end] = times.map(|column| column.and_then(|column| read.span(column)));
            let pod = PodRow {
                place: row.place(0),
                name: read.text(name).to_owned(),
                cpu: read.cpu(cpu, openb),
                memory: read.memory(memory, openb),
                gpus,
                gpu_milli: if gpus == 0 { 0 } else { gpu_milli },
                models: models.map_or("", |column| read.text(column)).to_owned(),
                arrival,
                // What was never scheduled would have run as long after its creation.
                duration: if openb { end.map(|end| end.saturating_sub(began.or(arrival).unwrap_or_default())) } else { end },
            };
            if pod.name.is_empty() {
                read.wrong(name, "a pod has a name", "a name");
            }
            self.errors_of(read.errors);
            rows.push(pod);
        }
        self.distinct(text, rows.iter().map(|row| (row.place, row.name.as_str())), "pod");
        if rows.is_empty() {
            self.errors.push(InputError::new(&text.shown, None, "", "the file has no pods".to_owned()));
        }
        rows
    }
    pub fn trace_nodes(&mut self, trace: &Trace, text: &Text) -> Vec<NodeRow> {
        let openb = trace.format == TraceFormat::Openb;
        let columns = match openb {
            true => {
                let [name, cpu, memory, gpus, gpu_model] = ["sn", "cpu_milli", "memory_mib", "gpu", "model"].map(str::to_owned);
                NodeColumns { name, cpu, memory, gpus, gpu_model }
            }
            false => trace.node_columns.clone().unwrap_or_default(),
        };
        let Some(table) = self.table(text) else { return Vec::new() };
        let NodeColumns { name, cpu, memory, gpus, .. } = &columns;
        let wanted = [(name, true), (cpu, true), (memory, true), (gpus, openb)];
        let Some([Some(name), Some(cpu), Some(memory), gpus]) = self.columns(&table, wanted) else { return Vec::new() };
        let model = table.optional(&columns.gpu_model);
        let mut rows = Vec::with_capacity(table.rows.len());
        for row in &table.rows {
            let mut read = Reading { table: &table, row, errors: Vec::new() };
            let node = NodeRow {
                place: row.place(0),
                name: read.text(name).to_owned(),
                cpu: read.cpu(cpu, openb),
                memory: read.memory(memory, openb),
                gpus: gpus.map_or(0, |column| read.whole(column, MOST_GPUS as i64)) as usize,
                model: model.map_or("", |column| read.text(column)).to_owned(),
            };
            if node.name.is_empty() {
                read.wrong(name, "a node has a name", "a name");
            }
            self.errors_of(read.errors);
            rows.push(node);
        }
        self.distinct(text, rows.iter().map(|row| (row.place, row.name.as_str())), "node");
        if rows.is_empty() {
            self.errors.push(InputError::new(&text.shown, None, "", "the file has no nodes".to_owned()));
        }
        rows
    }
    /// The rows of an order, those of one seed: (place, is it a node, name).
    pub fn trace_order(&mut self, text: &Text, seed: u64) -> Option<Vec<(Place, bool, String)>> {
        let table = self.table(text)?;
        let [Some(seeds), Some(kind), Some(name)] = self.columns(&table, ["seed", "kind", "name"].map(|name| (name, true)))? else {
            return None;
        };
        let mut rows = Vec::new();
        let mut known = std::collections::BTreeSet::new();
        for row in &table.rows {
            let mut read = Reading { table: &table, row, errors: Vec::new() };
            let of = read.whole(seeds, i64::MAX);
            known.insert(of);
            let is_node = match read.text(kind) {
                "pod" => false,
                "node" => true,
                other => {
                    let message = format!("\"{}\" is no kind of an order", short(other));
                    read.wrong(kind, &message, "pod or node");
                    false
                }
            };
            if u64::try_from(of) == Ok(seed) {
                rows.push((row.place(name), is_node, read.text(name).to_owned()));
            }
            self.errors_of(read.errors);
        }
        if rows.is_empty() && self.errors.is_empty() {
            let known = known.iter().take(12).map(ToString::to_string).collect::<Vec<_>>().join(", ");
            self.errors.push(
                InputError::new(&text.shown, None, "", format!("there is no order for the seed {seed}"))
                    .expecting(format!("one of the seeds {known}")),
            );
        }
        Some(rows)
    }
    fn errors_of(&mut self, errors: Vec<InputError>) {
        errors.into_iter().for_each(|error| self.errors.push(error));
    }
    fn distinct<'r>(&mut self, text: &Text, rows: impl Iterator<Item = (Place, &'r str)>, what: &str) {
        let mut sorted: Vec<(&str, Place)> = rows.map(|(place, name)| (name, place)).collect();
        sorted.sort_unstable();
        for pair in sorted.windows(2).filter(|pair| pair[0].0 == pair[1].0 && !pair[0].0.is_empty()) {
            let message = format!("the {what} \"{}\" is there already, in line {}", short(pair[0].0), pair[0].1.line);
            self.errors.push(InputError::new(&text.shown, Some(pair[1].1), "", message));
        }
    }

    /// The text of one of the trace's files. What is not shipped is put into the resolved scenario.
    pub fn trace_text(&mut self, trace: &Trace, name: &str, field: &str) -> Option<Text> {
        let path = at("trace", field);
        if let Some(text) = trace.files.get(name) {
            return Some(Text { shown: name.to_owned(), stem: stem(name), text: text.clone() });
        }
        let (shown, bytes): (String, Cow<'static, [u8]>) = match shipped::data(name) {
            Some(bytes) => (name.to_owned(), bytes.into()),
            None => {
                let (shown, bytes) = self.read_named(name, &path)?;
                (shown, bytes.into())
            }
        };
        let text = match text_of(&bytes) {
            Ok(text) => text,
            Err(why) => {
                self.errors.push(InputError::new(&shown, None, "", why));
                return None;
            }
        };
        if shipped::data(name).is_none() {
            let plain = name.rsplit(['/', '\\']).next().unwrap_or(name).trim_end_matches(".gz");
            let mut kept = plain.to_owned();
            // Two files of one name in two folders.
            while trace.files.contains_key(&kept) || self.resolved.at("trace.files").is_some_and(|files| files.get(&kept).is_some()) {
                kept.insert(0, '_');
            }
            let text_of = |text: &str| Node::from_json(&serde_json::Value::from(text));
            let steps = |names: &[&str]| names.iter().map(|name| Step::Key((*name).to_owned())).collect::<Vec<_>>();
            manifest::set(&mut self.resolved, &steps(&["trace", field]), text_of(&kept)).expect("the trace is an object");
            manifest::set(&mut self.resolved, &steps(&["trace", "files", &kept]), text_of(&text)).expect("files are an object");
        }
        Some(Text { shown, stem: stem(name), text })
    }
    /// Where these columns are, each with whether the file must have it; `None` if one that it must have is missing.
    fn columns<const N: usize>(&mut self, table: &Table, wanted: [(impl AsRef<str>, bool); N]) -> Option<[Option<usize>; N]> {
        let missing: Vec<InputError> =
            wanted.iter().filter(|(_, required)| *required).filter_map(|(name, _)| table.required(name.as_ref()).err()).collect();
        let complete = missing.is_empty();
        self.errors_of(missing);
        complete.then(|| wanted.map(|(name, _)| table.optional(name.as_ref())))
    }
    fn table(&mut self, text: &Text) -> Option<Table> {
        match Table::read(text) {
            Ok(table) => Some(table),
            Err(error) => {
                self.errors.push(error);
                None
            }
        }
    }
}

/// `lists/openb_pod_list_default.csv.gz` is called `openb_pod_list_default`.
fn stem(name: &str) -> String {
    let base = name.rsplit(['/', '\\']).next().unwrap_or(name);
    base.trim_end_matches(".gz").trim_end_matches(".csv").to_owned()
}

/// Text, compressed with gzip or not.
fn text_of(bytes: &[u8]) -> Result<String, String> {
    let plain = unpacked(bytes)?;
    let text = std::str::from_utf8(&plain).map_err(|error| format!("it is no text: byte {} is not UTF-8", error.valid_up_to()))?;
    Ok(text.trim_start_matches('\u{feff}').to_owned())
}

/// A CSV file with a header.
struct Table {
    shown: String,
    header: StringRecord,
    rows: Vec<Row>,
}

struct Row {
    line: u32,
    fields: StringRecord,
}

impl Row {
    fn place(&self, column: usize) -> Place {
        // One comma between two fields: right as long as nothing is quoted.
        let before: usize = self.fields.iter().take(column).map(|field| field.chars().count() + 1).sum();
        Place { line: self.line, column: before as u32 + 1 }
    }
}

impl Table {
    fn read(text: &Text) -> Result<Table, InputError> {
        let mut reader = csv::ReaderBuilder::new().flexible(true).has_headers(false).from_reader(text.text.as_bytes());
        let mut rows = Vec::new();
        for record in reader.records() {
            let fields = record.map_err(|error| InputError::new(&text.shown, None, "", format!("not CSV: {error}")))?;
            let line = fields.position().map_or(0, csv::Position::line) as u32;
            rows.push(Row { line, fields });
        }
        if rows.is_empty() {
            return Err(InputError::new(&text.shown, None, "", "the file is empty".to_owned()).expecting("CSV with a header"));
        }
        let header = rows.remove(0).fields;
        if let Some(row) = rows.iter().find(|row| row.fields.len() != header.len()) {
            let message = format!("the row has {} fields, the header {}", row.fields.len(), header.len());
            return Err(InputError::new(&text.shown, Some(row.place(0)), "", message));
        }
        Ok(Table { shown: text.shown.clone(), header, rows })
    }
    fn optional(&self, name: &str) -> Option<usize> {
        self.header.iter().position(|column| column.trim() == name)
    }
    fn required(&self, name: &str) -> Result<usize, InputError> {
        self.optional(name).ok_or_else(|| {
            let place = Place { line: 1, column: 1 };
            let columns = self.header.iter().collect::<Vec<_>>().join(",");
            let error = InputError::new(&self.shown, Some(place), "", format!("there is no column \"{name}\" in {}", short(&columns)));
            error.expecting(format!("a header with {name}"))
        })
    }
}

/// A row as it is read.
struct Reading<'t> {
    table: &'t Table,
    row: &'t Row,
    errors: Vec<InputError>,
}

impl<'t> Reading<'t> {
    fn text(&self, column: usize) -> &'t str {
        self.row.fields.get(column).unwrap_or_default().trim()
    }
    fn wrong(&mut self, column: usize, message: &str, expected: &str) {
        let name = self.table.header.get(column).unwrap_or_default();
        let error = InputError::new(&self.table.shown, Some(self.row.place(column)), name, message.to_owned());
        self.errors.push(error.expecting(expected));
    }
    fn whole(&mut self, column: usize, most: i64) -> i64 {
        let text = self.text(column);
        match text.parse::<i64>() {
            Ok(number) if (0..=most).contains(&number) => number,
            _ => {
                let bound = if most == i64::MAX { "or more".to_owned() } else { format!("to {most}") };
                self.wrong(column, &format!("\"{}\" will not do", short(text)), &format!("a whole number, 0 {bound}"));
                0
            }
        }
    }
    fn cpu(&mut self, column: usize, openb: bool) -> i64 {
        if openb { self.whole(column, MOST_AMOUNT) } else { self.quantity(column, |quantity| quantity.milli_value()) }
    }
    fn memory(&mut self, column: usize, openb: bool) -> i64 {
        if openb { self.whole(column, MOST_AMOUNT >> 20) << 20 } else { self.quantity(column, |quantity| quantity.value()) }
    }
    fn quantity(&mut self, column: usize, of: fn(&crate::objects::Quantity) -> i64) -> i64 {
        let text = self.text(column);
        match parse_quantity(text).map(|quantity| of(&quantity)).filter(|amount| (0..=MOST_AMOUNT).contains(amount)) {
            Some(amount) => amount,
            None => {
                self.wrong(column, &format!("\"{}\" is not a quantity", short(text)), "\"2\", \"500m\" or \"8Gi\"");
                0
            }
        }
    }
    /// Seconds, or a span; `None` if there is nothing.
    fn span(&mut self, column: usize) -> Option<Duration> {
        let text = self.text(column);
        if text.is_empty() {
            return None;
        }
        let seconds = if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') { format!("{text}s") } else { text.to_owned() };
        let span = parse_duration(&seconds);
        if span.is_none() {
            self.wrong(column, &format!("\"{}\" is not a time", short(text)), "seconds, or \"5m30s\"");
        }
        span
    }
}
