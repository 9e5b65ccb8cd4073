//! `sweep.png`: how the figures are distributed; with two varied fields, how their medians depend on both.

use super::outcome::What;
use super::statistics::Distribution;
use super::summary::{Statistics, Summary, seconds};
use crate::report::picture::axis::round_up;
use crate::report::picture::canvas::{Canvas, Colour, HEADER, MARGIN, Swatch, WIDTH, palette};
use crate::report::picture::{count, grouped, shorten};

const TITLE: &str = "What many seeds came to";
/// Figures that are drawn; summary.json has all.
const MOST_FIGURES: usize = 12;
/// Variations that are drawn, a lane each.
const MOST_LANES: usize = 16;
/// Where lanes begin, and the room for numbers at their right.
const LABELS: f64 = 250.0;
const NUMBERS: f64 = 430.0;
const BINS: usize = 120;

pub fn draw(summary: &Summary) -> Canvas {
    if let [_, _] = summary.vary[..] { heat_maps(summary) } else { distributions(summary) }
}

/// The figures worth a picture: those that happened and are not zero in every run.
fn shown(summary: &Summary) -> Vec<usize> {
    let figures = summary.variations.first().map_or(0, |part| part.figures.len());
    let worth = |figure: &usize| {
        let mut all = summary.variations.iter().filter_map(|part| part.figures[*figure].distribution.as_ref());
        all.any(|distribution| distribution.max() > 0)
    };
    let mut shown: Vec<usize> = (0..figures).filter(worth).collect();
    shown.truncate(MOST_FIGURES);
    shown
}

fn header(canvas: &mut Canvas, summary: &Summary, legend: &[(Swatch, String)]) {
    canvas.text(MARGIN, 34.0, TITLE).size(25.0).bold().draw();
    let mut subtitle = format!("{}  ·  seeds {} to {}", summary.name, summary.first_seed, summary.last_seed);
    if summary.variations.len() > 1 {
        subtitle.push_str(&format!("  ·  {}", count(summary.variations.len(), "variation")));
    }
    subtitle.push_str(&format!("  ·  all held in {} of {}", grouped(summary.held.held as u64), count(summary.held.runs, "run")));
    canvas.text(MARGIN, 62.0, &subtitle).size(15.0).colour(palette::SUBTLE).draw();
    let mut x = MARGIN;
    for (swatch, label) in legend {
        canvas.swatch(x, 90.0, swatch);
        x += 28.0 + canvas.text(x + 28.0, 90.0, label).size(14.0).colour(palette::SUBTLE).draw() + 24.0;
    }
}

fn caption(figure: &Statistics) -> String {
    let workload = figure.workload.as_ref().map_or_else(String::new, |workload| format!("{}, ", shorten(workload, 40)));
    let after = if matches!(figure.of.what, What::Unavailable | What::Down) { "" } else { " after the fault" };
    format!("{workload}{}: {}{after}, by {}", figure.of.what.words(), figure.unit, shorten(&figure.fault, 60))
}

/// A panel a figure, a lane a variation: a histogram, the median with its interval, p95.
fn distributions(summary: &Summary) -> Canvas {
    let figures = shown(summary);
    let lanes = summary.variations.len().min(MOST_LANES);
    let lane = if lanes == 1 { 74.0 } else { 46.0 };
    let panel = 34.0 + lanes as f64 * lane + 42.0;
    let rest = if summary.variations.len() > lanes { 30.0 } else { 0.0 };
    let height = HEADER + (figures.len() as f64 * panel).max(180.0) + rest + 10.0;
    let mut canvas = Canvas::new(WIDTH, height);
    let legend = [
        (Swatch::Fill(palette::BLUE.lighter(0.35)), "runs, by value".to_owned()),
        (Swatch::Line(palette::VERMILLION), "median".to_owned()),
        (Swatch::Fill(palette::ORANGE.lighter(0.55)), "95 % confidence interval of the median".to_owned()),
        (Swatch::Dashes(palette::TEXT), "p95".to_owned()),
    ];
    header(&mut canvas, summary, &legend);
    if figures.is_empty() {
        canvas.text(WIDTH / 2.0, HEADER + 90.0, "No fault hurt anything: there is no recovery to show.").size(18.0).centre().draw();
    }
    for (place, &figure) in figures.iter().enumerate() {
        let top = HEADER + place as f64 * panel;
        let parts: Vec<&Statistics> = summary.variations.iter().take(lanes).map(|part| &part.figures[figure]).collect();
        let values = |end: fn(&Distribution) -> u64| parts.iter().filter_map(move |part| part.distribution.as_ref().map(end));
        let scale = Scale::new(values(Distribution::min).min().unwrap_or(0), values(Distribution::max).max().unwrap_or(0));
        canvas.text(MARGIN, top + 16.0, &caption(parts[0])).size(15.0).bold().draw();
        for (number, part) in parts.iter().enumerate() {
            let from = top + 34.0 + number as f64 * lane;
            if number % 2 == 0 {
                canvas.rect(scale.left, from, scale.right, from + lane, palette::LANE);
            }
            scale.grid(&mut canvas, from, from + lane);
            if lanes > 1 {
                let values: Vec<&str> = summary.variations[number].values.values().map(String::as_str).collect();
                let label = shorten(&values.join(", "), 26);
                canvas.text(scale.left - 12.0, from + lane / 2.0, &label).size(14.0).right().draw();
            }
            draw_lane(&mut canvas, &scale, part, from + 3.0, from + lane - 3.0);
        }
        let paths: Vec<&str> = summary.vary.iter().map(|vary| vary.path.as_str()).collect();
        if lanes > 1 {
            let label = shorten(&paths.join(", "), 34);
            canvas.text(MARGIN, top + 34.0 + lanes as f64 * lane + 18.0, &label).size(12.0).colour(palette::SUBTLE).draw();
        }
        scale.labels(&mut canvas, top + 34.0 + lanes as f64 * lane);
    }
    if rest > 0.0 {
        let text = format!("{} more are in summary.json", count(summary.variations.len() - lanes, "variation"));
        canvas.text(MARGIN, height - 24.0, &text).size(14.0).colour(palette::SUBTLE).draw();
    }
    canvas
}

fn draw_lane(canvas: &mut Canvas, scale: &Scale, figure: &Statistics, top: f64, bottom: f64) {
    let middle = (top + bottom) / 2.0;
    let right = scale.right + 16.0;
    let Some(distribution) = &figure.distribution else {
        canvas.text(right, middle, "never happened").size(13.0).colour(palette::SUBTLE).draw();
        return;
    };
    if let Some((low, high)) = distribution.median_interval() {
        canvas.rect(scale.x(low), top, scale.x(high).max(scale.x(low) + 1.0), bottom, palette::ORANGE.lighter(0.55));
    }
    let width = (scale.right - scale.left) / BINS as f64;
    let mut bins = [0usize; BINS];
    for &value in &distribution.values {
        bins[(((scale.x(value) - scale.left) / width) as usize).min(BINS - 1)] += 1;
    }
    let most = bins.iter().copied().max().unwrap_or(1).max(1) as f64;
    for (bin, &runs) in bins.iter().enumerate().filter(|(_, runs)| **runs > 0) {
        let left = scale.left + bin as f64 * width;
        // One run is seen beside a thousand.
        let height = ((bottom - top) * runs as f64 / most).max(2.0);
        canvas.rect(left + 0.5, bottom - height, left + width - 0.5, bottom, palette::BLUE.lighter(0.35));
    }
    let (median, p95) = (scale.x(distribution.median()), scale.x(distribution.percentile(95)));
    canvas.rect(median - 1.5, top, median + 1.5, bottom, palette::VERMILLION);
    canvas.dashes(&[(p95, top), (p95, bottom)], palette::TEXT, 1.5);
    let shown = |micros: u64| format!("{:.1}", seconds(micros));
    let interval = distribution.median_interval().map_or_else(String::new, |(low, high)| format!(" ({} to {})", shown(low), shown(high)));
    let first = format!("median {}{interval}", shown(distribution.median()));
    let p99 = shown(distribution.percentile(99));
    let second = format!("p95 {}  ·  p99 {p99}  ·  max {}", shown(distribution.percentile(95)), shown(distribution.max()));
    canvas.text(right, middle - 9.0, &first).size(13.0).draw();
    let end = right + canvas.text(right, middle + 9.0, &second).size(13.0).colour(palette::SUBTLE).draw();
    if figure.missing > 0 {
        let text = format!("  ·  never in {}", count(figure.missing, "run"));
        canvas.text(end, middle + 9.0, &text).size(13.0).colour(palette::VERMILLION).draw();
    }
}

/// A range of values between round numbers.
struct Scale {
    left: f64,
    right: f64,
    low: f64,
    step: f64,
    steps: usize,
}

impl Scale {
    fn new(min: u64, max: u64) -> Scale {
        let (min, max) = (seconds(min), seconds(max));
        let spread = (max - min).max(max * 1e-3).max(1e-3);
        let step = round_up(spread / 8.0);
        let low = (min / step).floor() * step;
        let steps = ((max - low) / step).floor() as usize + 1;
        Scale { left: MARGIN + LABELS, right: WIDTH - MARGIN - NUMBERS, low, step, steps }
    }
    fn x(&self, micros: u64) -> f64 {
        self.at((seconds(micros) - self.low) / self.step)
    }
    fn at(&self, step: f64) -> f64 {
        self.left + (self.right - self.left) * (step / self.steps as f64).clamp(0.0, 1.0)
    }
    fn grid(&self, canvas: &mut Canvas, top: f64, bottom: f64) {
        for step in 0..=self.steps {
            let x = self.at(step as f64);
            canvas.rect(x - 0.5, top, x + 0.5, bottom, palette::GRID);
        }
    }
    fn labels(&self, canvas: &mut Canvas, y: f64) {
        canvas.rect(self.left, y, self.right, y + 1.0, palette::BORDER);
        for step in 0..=self.steps {
            let text = number(self.low + self.step * step as f64);
            canvas.text(self.at(step as f64), y + 16.0, &text).size(13.0).colour(palette::SUBTLE).centre().draw();
        }
    }
}

/// At most three places, none that say nothing.
fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A map a figure: a row a value of the first field, a column a value of the second. The first map is of runs in which all held.
fn heat_maps(summary: &Summary) -> Canvas {
    let (down, across) = (&summary.vary[0], &summary.vary[1]);
    let figures = shown(summary);
    let (rows, columns) = (down.values.len(), across.values.len());
    let cell = (26.0f64).max((220.0 / rows as f64).min(44.0));
    let map = 34.0 + rows as f64 * cell + 66.0;
    // Two maps side by side.
    let lines = (figures.len() + 1).div_ceil(2);
    let mut canvas = Canvas::new(WIDTH, HEADER + lines as f64 * map + 10.0);
    let legend = [(Swatch::Fill(Colour::heat(0.7)), "the darker, the more; each map of medians has its own scale".to_owned())];
    header(&mut canvas, summary, &legend);
    let held: Vec<Option<f64>> = summary.variations.iter().map(|part| Some(part.held.share * 100.0)).collect();
    let mut maps = vec![("all expectations and invariants held: % of the runs".to_owned(), held)];
    for figure in figures {
        let medians = summary.variations.iter().map(|part| part.figures[figure].median).collect();
        maps.push((format!("median, {}", caption(&summary.variations[0].figures[figure])), medians));
    }
    for (place, (caption, values)) in maps.iter().enumerate() {
        let half = (WIDTH - 2.0 * MARGIN) / 2.0;
        let (left, top) = (MARGIN + (place % 2) as f64 * half, HEADER + (place / 2) as f64 * map);
        canvas.text(left, top + 16.0, &shorten(caption, 84)).size(15.0).bold().draw();
        let (first, right) = (left + 150.0, left + half - 30.0);
        let width = (right - first) / columns as f64;
        let known = || values.iter().flatten().copied();
        let most = known().fold(0.0, f64::max);
        // Differences below 2 % are not made to look like large ones. A share of runs is seen against all of them.
        let (least, most) = if place == 0 { (0.0, 100.0) } else { (known().fold(most * 0.98, f64::min), most) };
        for (number_of, value) in values.iter().enumerate() {
            let (row, column) = (number_of / columns, number_of % columns);
            let (x, y) = (first + column as f64 * width, top + 34.0 + row as f64 * cell);
            let share = value.map(|value| (value - least) / (most - least).max(1e-9));
            match share {
                Some(share) => canvas.rect(x, y, x + width - 1.0, y + cell - 1.0, Colour::heat(share)),
                None => canvas.hatch(x, y, x + width - 1.0, y + cell - 1.0, palette::BACKGROUND, palette::GRID),
            }
            if width >= 44.0 {
                let text = value.map_or_else(|| "never".to_owned(), |value| number((value * 10.0).round() / 10.0));
                let colour = if share.is_some_and(|share| share > 0.5) { palette::BACKGROUND } else { palette::TEXT };
                canvas.text(x + width / 2.0, y + cell / 2.0, &text).size(13.0).colour(colour).centre().draw();
            }
        }
        for (row, value) in down.values.iter().enumerate() {
            let y = top + 34.0 + (row as f64 + 0.5) * cell;
            canvas.text(first - 10.0, y, &shorten(value, 16)).size(13.0).right().draw();
        }
        // Labels that would touch are left out.
        let every = (44.0 / width).ceil().max(1.0) as usize;
        let foot = top + 34.0 + rows as f64 * cell;
        for (column, value) in across.values.iter().enumerate().step_by(every) {
            let x = first + (column as f64 + 0.5) * width;
            let letters = ((width * every as f64 / 8.0) as usize).max(4);
            canvas.text(x, foot + 14.0, &shorten(value, letters)).size(13.0).centre().draw();
        }
        let axes = format!("across: {}   ·   down: {}", shorten(&across.path, 44), shorten(&down.path, 44));
        canvas.text((first + right) / 2.0, foot + 36.0, &axes).size(12.0).colour(palette::SUBTLE).centre().draw();
    }
    canvas
}
