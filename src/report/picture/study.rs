//! `allocation.png`: how much of the GPUs is in use, and how much of what is free is of no use, against what was asked for. A sweep draws
//! a line for each policy over the band of its seeds.

use super::super::Report;
use super::axis::Panel;
use super::canvas::{Canvas, Colour, HEADER, MARGIN, Swatch, WIDTH, palette};
use super::{count, shorten};
use crate::base::Time;
use crate::engine::record::{Column, Curve};

const TITLE: &str = "How much of the GPUs can be handed out";
/// Of one line each; after these the colours come again, dashed.
const COLOURS: [Colour; 8] =
    [palette::OTHER, palette::SKY, palette::PURPLE, palette::ORANGE, palette::GREEN, palette::VERMILLION, palette::BLUE, palette::TEXT];

/// A line of the picture: one policy, with the curves of its seeds.
pub struct Series<'c> {
    pub name: String,
    pub curves: Vec<&'c Curve>,
}

/// What of a column is drawn, in hundredths of a per cent.
type Value = fn(&Column) -> Option<u32>;

pub fn draw_run(report: &Report) -> Canvas {
    let Some(results) = report.study() else { return super::nothing(report, TITLE, "The scheduler was not played alone.") };
    let scenario = &report.model.record.scenario;
    let subtitle = format!(
        "{}  ·  seed {}  ·  the scheduler alone  ·  {}  ·  {}  ·  {} of {}",
        scenario.name,
        scenario.seed,
        count(results.nodes as usize, "node"),
        count(results.gpus as usize, "GPU"),
        count(results.placements.len(), "pod"),
        shorten(&results.workload, 40)
    );
    draw(&subtitle, &[Series { name: format!("policy {}", results.policy), curves: vec![&results.curve] }])
}

pub fn draw(subtitle: &str, series: &[Series]) -> Canvas {
    let mut canvas = Canvas::new(WIDTH, 900.0);
    canvas.text(MARGIN, 34.0, TITLE).size(25.0).bold().draw();
    canvas.text(MARGIN, 62.0, &shorten(subtitle, 150)).size(15.0).colour(palette::SUBTLE).draw();
    let colour = |at: usize| if series.len() == 1 { palette::BLUE } else { COLOURS[at % COLOURS.len()] };
    let mut x = MARGIN;
    for (at, one) in series.iter().enumerate() {
        let swatch = if at < COLOURS.len() { Swatch::Line(colour(at)) } else { Swatch::Dashes(colour(at)) };
        canvas.swatch(x, 90.0, &swatch);
        let end = mean(&one.curves, one.curves.iter().map(|curve| curve.columns.len()).max().unwrap_or(1) - 1);
        let name = shorten(&one.name, if series.len() > 6 { 14 } else { 26 });
        let label = end.map_or(name.clone(), |end| format!("{name} {end:.1}"));
        x += 28.0 + canvas.text(x + 28.0, 90.0, &label).size(14.0).colour(palette::SUBTLE).draw() + 22.0;
    }
    canvas.swatch(x, 90.0, &Swatch::Dashes(palette::BORDER));
    x += 28.0;
    canvas.text(x, 90.0, "all that was asked for (numbers: in use at the end)").size(14.0).colour(palette::SUBTLE).draw();

    let last = series.iter().flat_map(|one| &one.curves).map(|curve| curve.columns.len()).max().unwrap_or(1).max(2) - 1;
    let (top, bottom) = (HEADER + 34.0, 840.0);
    let whole = Frame::new((MARGIN + 44.0, top, 860.0, bottom), (0, last), (0.0, 100.0));
    whole.draw(&mut canvas, "GPUs in use, per cent of all", 10, 10.0);
    let zoom_from = if last > 90 { 75 } else { last / 2 };
    let closer = Frame::new((950.0, top, WIDTH - MARGIN, 470.0), (zoom_from, last), zoom(series, zoom_from));
    closer.draw(&mut canvas, "the same from near: where policies differ", 5, 2.0);
    let most = most(series, |column| column.fragment).max(1.0);
    let fragments = Frame::new((950.0, 550.0, WIDTH - MARGIN, bottom), (0, last), (0.0, super::axis::round_up(most * 1.05)));
    fragments.draw(&mut canvas, "GPUs that are free and of no use, per cent of all", 10, 5.0);
    for frame in [&whole, &closer] {
        frame.diagonal(&mut canvas);
    }
    for (frame, value) in
        [(&whole, (|column| column.allocation) as Value), (&closer, |column| column.allocation), (&fragments, |column| column.fragment)]
    {
        for (at, one) in series.iter().enumerate() {
            frame.band(&mut canvas, &one.curves, value, colour(at).lighter(0.78));
        }
        for (at, one) in series.iter().enumerate() {
            frame.mean(&mut canvas, &one.curves, value, colour(at), at >= COLOURS.len());
        }
    }
    canvas
}

/// Of the GPUs in use at a load.
fn mean(curves: &[&Curve], load: usize) -> Option<f64> {
    let values = || curves.iter().filter_map(|curve| curve.columns.get(load).and_then(|column| column.allocation));
    let count = values().count();
    (count > 0).then(|| values().map(f64::from).sum::<f64>() / count as f64 / 100.0)
}

/// From a little below the least to a little above the most that the lines have beyond a load.
fn zoom(series: &[Series], from: usize) -> (f64, f64) {
    let values = || {
        let columns = series.iter().flat_map(|one| &one.curves).flat_map(|curve| curve.columns.iter().skip(from));
        columns.filter_map(|column| column.allocation).map(|value| f64::from(value) / 100.0)
    };
    let (least, most) = (values().fold(100.0, f64::min), values().fold(0.0, f64::max));
    if most <= least { (0.0, 100.0) } else { ((least - 1.0).floor().max(0.0), (most + 1.0).ceil().min(100.0)) }
}

fn most(series: &[Series], value: Value) -> f64 {
    let columns = series.iter().flat_map(|one| &one.curves).flat_map(|curve| &curve.columns);
    columns.filter_map(value).max().map_or(0.0, |most| f64::from(most) / 100.0)
}

/// A panel over loads, with values between two bounds.
struct Frame {
    panel: Panel,
    loads: (usize, usize),
    values: (f64, f64),
}

impl Frame {
    fn new((left, top, right, bottom): (f64, f64, f64, f64), loads: (usize, usize), values: (f64, f64)) -> Frame {
        Frame { panel: Panel { left, top, right, bottom, start: Time::ZERO, end: Time::ZERO }, loads, values }
    }
    fn x(&self, load: f64) -> f64 {
        let (from, until) = (self.loads.0 as f64, self.loads.1 as f64);
        self.panel.left + (self.panel.right - self.panel.left) * (load - from) / (until - from).max(1.0)
    }
    fn y(&self, value: f64) -> f64 {
        let (low, high) = self.values;
        self.panel.bottom - (self.panel.bottom - self.panel.top) * ((value - low) / (high - low).max(1e-9)).clamp(0.0, 1.0)
    }
    fn draw(&self, canvas: &mut Canvas, caption: &str, load_step: usize, value_step: f64) {
        let panel = &self.panel;
        panel.ground(canvas);
        panel.caption(canvas, caption);
        for load in (self.loads.0..=self.loads.1).filter(|load| load % load_step == 0) {
            let x = self.x(load as f64);
            canvas.rect(x - 0.5, panel.top, x + 0.5, panel.bottom, palette::GRID);
            canvas.text(x, panel.bottom + 17.0, &load.to_string()).size(13.0).colour(palette::SUBTLE).centre().draw();
        }
        let mut value = (self.values.0 / value_step).ceil() * value_step;
        while value <= self.values.1 + 1e-9 {
            let y = self.y(value);
            canvas.rect(panel.left, y - 0.5, panel.right, y + 0.5, palette::GRID);
            canvas.text(panel.left - 10.0, y, &format!("{value:.0}")).size(13.0).colour(palette::SUBTLE).right().draw();
            value += value_step;
        }
        canvas.rect(panel.left, panel.bottom, panel.right, panel.bottom + 1.0, palette::BORDER);
        let middle = (panel.left + panel.right) / 2.0;
        canvas
            .text(middle, panel.bottom + 38.0, "GPUs asked for so far, per cent of all")
            .size(13.0)
            .colour(palette::SUBTLE)
            .centre()
            .draw();
    }
    /// Everything in use that was asked for, as far as it is inside.
    fn diagonal(&self, canvas: &mut Canvas) {
        let from = (self.loads.0 as f64).max(self.values.0);
        let until = (self.loads.1 as f64).min(self.values.1);
        if from < until {
            canvas.dashes(&[(self.x(from), self.y(from)), (self.x(until), self.y(until))], palette::BORDER, 2.0);
        }
    }
    /// The values of all curves at a load.
    fn at<'c>(&self, curves: &'c [&Curve], value: Value, load: usize) -> impl Iterator<Item = f64> + 'c {
        curves.iter().filter_map(move |curve| curve.columns.get(load).and_then(value)).map(|hundredths| f64::from(hundredths) / 100.0)
    }
    /// Between the least and the most of several curves.
    fn band(&self, canvas: &mut Canvas, curves: &[&Curve], value: Value, colour: Colour) {
        if curves.len() < 2 {
            return;
        }
        let range = |load: usize| {
            let (least, most) =
                self.at(curves, value, load).fold((f64::MAX, f64::MIN), |(least, most), value| (least.min(value), most.max(value)));
            (least <= most).then_some((least, most))
        };
        for load in self.loads.0..self.loads.1 {
            let (Some(from), Some(until)) = (range(load), range(load + 1)) else { continue };
            let (left, right) = (self.x(load as f64), self.x(load as f64 + 1.0));
            // A strip a pixel, so that the edge is as smooth as the line.
            let strips = (right - left).ceil().max(1.0);
            for strip in 0..strips as u32 {
                let share = (f64::from(strip) + 0.5) / strips;
                let between = |a: f64, b: f64| a + (b - a) * share;
                let x = |strip: f64| left + (right - left) * strip / strips;
                let (top, bottom) = (self.y(between(from.1, until.1)), self.y(between(from.0, until.0)));
                canvas.rect(x(f64::from(strip)), top, x(f64::from(strip) + 1.0), bottom, colour);
            }
        }
    }
    fn mean(&self, canvas: &mut Canvas, curves: &[&Curve], value: Value, colour: Colour, dashed: bool) {
        let mean = |load: usize| {
            let (sum, count) = self.at(curves, value, load).fold((0.0, 0u32), |(sum, count), value| (sum + value, count + 1));
            (count > 0).then(|| (self.x(load as f64), self.y(sum / f64::from(count))))
        };
        let points: Vec<(f64, f64)> = (self.loads.0..=self.loads.1).filter_map(mean).collect();
        if dashed { canvas.dashes(&points, colour, 2.5) } else { canvas.line(&points, colour, 2.5) }
    }
}
