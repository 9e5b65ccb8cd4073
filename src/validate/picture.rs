//! `validation.png`: predicted and measured runs over one another, and how each milestone's measured times lie about the predicted median.

use super::milestones::Unit;
use super::statistics::{Verdict, median, percentile};
use super::table::number;
use super::{Row, Validation};
use crate::base::Time;
use crate::report::picture::axis::{Panel, round_up};
use crate::report::picture::canvas::{Canvas, Colour, HEADER, MARGIN, Swatch, WIDTH, palette};
use crate::report::picture::{count, shorten};

const PREDICTED: Colour = palette::BLUE;
const MEASURED: Colour = palette::VERMILLION;
/// Lines of either kind: more would hide each other.
pub(super) const MOST_LINES: usize = 40;
const TIMELINE: f64 = 300.0;
const LANE: f64 = 44.0;
/// Room for names at the left, for figures at the right.
const NAMES: f64 = 520.0;
const FIGURES: f64 = 330.0;
/// Tolerances on either side.
const REACH: f64 = 3.0;

pub fn draw(validation: &Validation) -> Canvas {
    let rows = validation.rows.len() as f64;
    let lanes_top = HEADER + 40.0 + TIMELINE + 90.0;
    let mut canvas = Canvas::new(WIDTH, lanes_top + rows * LANE + 60.0);
    header(&mut canvas, validation);
    timelines(&mut canvas, validation);
    lanes(&mut canvas, validation, lanes_top);
    canvas
}

fn header(canvas: &mut Canvas, validation: &Validation) {
    canvas.text(MARGIN, 34.0, "Predicted and measured").size(25.0).bold().draw();
    let confirmed = validation.rows.iter().filter(|row| row.comparison.verdict == Verdict::Confirmed).count();
    let subtitle = format!(
        "{}  ·  runtime {}  ·  {} predicted, {} measured  ·  {confirmed} of {} confirmed",
        validation.scenario,
        validation.runtime,
        count(validation.seeds, "run"),
        count(validation.repeats, "run"),
        count(validation.rows.len(), "milestone"),
    );
    canvas.text(MARGIN, 62.0, &subtitle).size(15.0).colour(palette::SUBTLE).draw();
    let legend = [
        (Swatch::Line(PREDICTED), "predicted"),
        (Swatch::Line(MEASURED), "measured"),
        (Swatch::Fill(palette::GREEN.lighter(0.8)), "within the tolerance d of the predicted median"),
    ];
    let mut x = MARGIN;
    for (swatch, label) in &legend {
        canvas.swatch(x, 90.0, swatch);
        x += 28.0 + canvas.text(x + 28.0, 90.0, label).size(14.0).colour(palette::SUBTLE).draw() + 24.0;
    }
}

/// Available replicas of all workloads together, a line a run.
fn timelines(canvas: &mut Canvas, validation: &Validation) {
    let top = HEADER + 40.0;
    let end = Time::ZERO + validation.length;
    let panel = Panel { left: MARGIN + 60.0, top, right: WIDTH - MARGIN, bottom: top + TIMELINE, start: Time::ZERO, end };
    canvas.text(MARGIN, top - 16.0, "Available replicas").size(15.0).bold().draw();
    panel.ground(canvas);
    let all = || validation.timelines.0.iter().chain(&validation.timelines.1);
    let most = round_up(all().flatten().map(|(_, available)| *available).max().unwrap_or(1).max(1) as f64);
    panel.time_grid(canvas);
    for (lines, colour) in [(&validation.timelines.0, PREDICTED.lighter(0.6)), (&validation.timelines.1, MEASURED)] {
        for line in lines.iter().take(MOST_LINES) {
            let mut points = vec![(panel.x(Time::ZERO), panel.y(0.0, most))];
            for (at, available) in line {
                let x = panel.x(*at);
                points.push((x, points[points.len() - 1].1));
                points.push((x, panel.y(*available as f64, most)));
            }
            points.push((panel.x(end), points[points.len() - 1].1));
            canvas.line(&points, colour, 1.2);
        }
    }
    panel.value_axis(canvas, most, |value| format!("{value:.0}"));
    panel.time_labels(canvas);
}

fn lanes(canvas: &mut Canvas, validation: &Validation, top: f64) {
    let (left, right) = (MARGIN + NAMES, WIDTH - MARGIN - FIGURES);
    let x = |tolerances: f64| left + (right - left) * ((tolerances + REACH) / (2.0 * REACH)).clamp(0.0, 1.0);
    canvas.text(MARGIN, top - 24.0, "Milestones: difference to the predicted median, in tolerances").size(15.0).bold().draw();
    let bottom = top + validation.rows.len() as f64 * LANE;
    for number in 0..validation.rows.len() {
        let from = top + number as f64 * LANE;
        if number % 2 == 0 {
            canvas.rect(MARGIN, from, WIDTH - MARGIN, from + LANE, palette::LANE);
        }
    }
    canvas.rect(x(-1.0), top, x(1.0), bottom, palette::GREEN.lighter(0.8));
    for step in -3..=3 {
        let at = x(f64::from(step));
        canvas.rect(at - 0.5, top, at + 0.5, bottom, palette::GRID);
        let text = if step == 0 { "0".to_owned() } else { format!("{step:+} d") };
        canvas.text(at, bottom + 16.0, &text).size(13.0).colour(palette::SUBTLE).centre().draw();
    }
    for (number, row) in validation.rows.iter().enumerate() {
        lane(canvas, row, top + number as f64 * LANE, &x, right + 16.0);
    }
}

fn lane(canvas: &mut Canvas, row: &Row, top: f64, x: &impl Fn(f64) -> f64, figures: f64) {
    let middle = top + LANE / 2.0;
    canvas.text(MARGIN + 8.0, middle, &shorten(&row.milestone.name, 66)).size(14.0).draw();
    let centre = median(&row.predicted) as f64;
    let place = |value: u64| x((value as f64 - centre) / row.comparison.tolerance.max(1) as f64);
    for (values, colour, y) in [(&row.predicted, PREDICTED, middle - 9.0), (&row.measured, MEASURED, middle + 9.0)] {
        if values.is_empty() {
            continue;
        }
        let of = |hundredths: usize| place(percentile(values, hundredths));
        canvas.rect(of(5), y - 0.75, of(95).max(of(5) + 1.0), y + 0.75, colour);
        canvas.rect(of(25), y - 5.0, of(75).max(of(25) + 1.0), y + 5.0, colour.lighter(0.45));
        let at = place(median(values));
        canvas.rect(at - 1.5, y - 7.0, at + 1.5, y + 7.0, colour);
    }
    let shown = |values: &[u64]| match (values, row.milestone.unit) {
        ([], _) => "never".to_owned(),
        (values, Unit::Time) => format!("{} s", number(Unit::Time, median(values).cast_signed())),
        (values, unit) => number(unit, median(values).cast_signed()),
    };
    let colour = match row.comparison.verdict {
        Verdict::Confirmed => palette::GREEN,
        Verdict::Inconclusive => palette::SUBTLE,
        Verdict::Refuted => palette::FAULT,
    };
    let text = format!("{} and {}", shown(&row.predicted), shown(&row.measured));
    canvas.text(figures, middle - 9.0, &text).size(13.0).draw();
    canvas.text(figures, middle + 9.0, row.comparison.verdict.name()).size(13.0).colour(colour).bold().draw();
}
