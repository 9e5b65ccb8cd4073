//! Panels with a time axis, and labels that keep out of each other's way.

use super::canvas::{Canvas, Colour, palette};
use crate::base::{Duration, Time};

/// A rectangle in which time runs from left to right.
#[derive(Clone, Copy)]
pub struct Panel {
    pub left: f64,
    pub top: f64,
    pub right: f64,
    pub bottom: f64,
    pub start: Time,
    pub end: Time,
}

impl Panel {
    pub fn x(&self, at: Time) -> f64 {
        let whole = self.end.since(self.start).as_secs_f64().max(1e-9);
        self.left + (self.right - self.left) * (at.since(self.start).as_secs_f64() / whole).min(1.0)
    }
    /// The height of a value, if the panel's top is `most` and its bottom 0.
    pub fn y(&self, value: f64, most: f64) -> f64 {
        self.bottom - (self.bottom - self.top) * (value / most.max(1e-12)).clamp(0.0, 1.0)
    }
    /// Vertical grid lines at round times.
    pub fn time_grid(&self, canvas: &mut Canvas) {
        for tick in self.time_ticks() {
            let x = self.x(tick);
            canvas.rect(x - 0.5, self.top, x + 0.5, self.bottom, palette::GRID);
        }
    }
    /// Round times below the panel.
    pub fn time_labels(&self, canvas: &mut Canvas) {
        let length = self.end.since(self.start);
        canvas.rect(self.left, self.bottom, self.right, self.bottom + 1.0, palette::BORDER);
        for tick in self.time_ticks() {
            let x = self.x(tick);
            canvas.rect(x - 0.5, self.bottom, x + 0.5, self.bottom + 5.0, palette::BORDER);
            canvas.text(x, self.bottom + 17.0, &clock(tick.since(self.start), length)).size(13.0).colour(palette::SUBTLE).centre().draw();
        }
        let unit = if length <= Duration::from_secs(180) {
            "seconds since the start"
        } else if length < Duration::from_secs(3600) {
            "time since the start (min:s)"
        } else {
            "time since the start (h:min)"
        };
        canvas.text((self.left + self.right) / 2.0, self.bottom + 40.0, unit).size(13.0).colour(palette::SUBTLE).centre().draw();
    }
    /// Grid lines and numbers for values from 0 to `most`; `most` should come from [`round_up`]. Every second number is left out where
    /// there is no room.
    pub fn value_axis(&self, canvas: &mut Canvas, most: f64, show: impl Fn(f64) -> String) {
        let step = round_step(most, ((self.bottom - self.top) / 42.0).max(2.0));
        let ticks = (most / step + 1e-9) as usize;
        for tick in 0..=ticks {
            let value = step * tick as f64;
            let y = self.y(value, most);
            canvas.rect(self.left, y - 0.5, self.right, y + 0.5, palette::GRID);
            canvas.text(self.left - 10.0, y, &show(value)).size(13.0).colour(palette::SUBTLE).right().draw();
        }
    }
    /// What a panel shows, above its left corner.
    pub fn caption(&self, canvas: &mut Canvas, text: &str) {
        canvas.text(self.left, self.top - 14.0, text).size(15.0).bold().draw();
    }
    pub fn ground(&self, canvas: &mut Canvas) {
        canvas.rect(self.left, self.top, self.right, self.bottom, palette::LANE);
    }

    fn time_ticks(&self) -> Vec<Time> {
        const STEPS: [u64; 17] = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, 86_400, 604_800, 2_592_000];
        let length = self.end.since(self.start).as_secs();
        // A label each 90 pixels at most.
        let room = ((self.right - self.left) / 90.0).max(2.0) as u64;
        let step = STEPS.into_iter().find(|step| length / step <= room).unwrap_or(length / room);
        (0..=length / step).map(|tick| self.start + Duration::from_secs(tick * step)).collect()
    }
}

/// A time as a clock shows it: `90`, `1:30`, `2:05 h`, by how long the whole is.
pub fn clock(at: Duration, whole: Duration) -> String {
    let seconds = at.as_secs();
    if whole <= Duration::from_secs(180) {
        seconds.to_string()
    } else if whole < Duration::from_secs(3600) {
        format!("{}:{:02}", seconds / 60, seconds % 60)
    } else {
        format!("{}:{:02}", seconds / 3600, seconds / 60 % 60)
    }
}

/// The least round number that is not below `most`: 1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8 times a power of ten.
pub fn round_up(most: f64) -> f64 {
    if most <= 0.0 {
        return 1.0;
    }
    let mut power = 1e-6;
    while power * 10.0 <= most {
        power *= 10.0;
    }
    [1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|&round| round >= most - 1e-12)
        .unwrap_or(most)
}

/// A round distance of grid lines, of which at most `count` fit.
fn round_step(most: f64, count: f64) -> f64 {
    let mut power = 1e-9;
    loop {
        for factor in [1.0, 2.0, 5.0] {
            if most / (factor * power) <= count {
                return factor * power;
            }
        }
        power *= 10.0;
    }
}

/// Labels over a panel in as few rows as keep them apart, each with a line down to its instant.
#[derive(Default)]
pub struct Stagger {
    labels: Vec<(f64, f64, usize, String, Colour)>,
    /// How far each row is taken.
    ends: Vec<f64>,
}

/// Height of a row of labels.
pub const LABEL_ROW: f64 = 20.0;

impl Stagger {
    /// Adds a label; those of one panel come in order of time. A label for which eight rows have no room is left out.
    pub fn push(&mut self, canvas: &mut Canvas, panel: &Panel, at: Time, text: &str, colour: Colour) {
        let x = panel.x(at);
        let width = canvas.text(0.0, 0.0, text).size(13.0).width();
        let left = if x + 6.0 + width > panel.right { x - 6.0 - width } else { x + 6.0 };
        // The first label is at the top: the lines of later ones pass no text.
        let row = self.ends.iter().position(|&end| end + 12.0 <= left.min(x)).unwrap_or(self.ends.len());
        if row >= 8 {
            return;
        }
        if row == self.ends.len() {
            self.ends.push(0.0);
        }
        self.ends[row] = (left + width).max(x);
        self.labels.push((x, left, row, text.to_string(), colour));
    }
    pub fn height(&self) -> f64 {
        self.ends.len() as f64 * LABEL_ROW
    }
    /// Draws them in the space of [`Self::height`] above `bottom`; the lines go down to `foot`.
    pub fn draw(&self, canvas: &mut Canvas, bottom: f64, foot: f64) {
        let top = bottom - self.height();
        for (x, _, row, _, colour) in &self.labels {
            let y = top + *row as f64 * LABEL_ROW;
            canvas.rect(x - 0.75, y + 2.0, x + 0.75, foot, *colour);
        }
        for (_, left, row, text, colour) in &self.labels {
            let y = top + (*row as f64 + 0.5) * LABEL_ROW;
            // Lines of later labels pass behind the text.
            let width = canvas.text(0.0, 0.0, text).size(13.0).width();
            canvas.rect(left - 2.0, y - 9.0, left + width + 2.0, y + 9.0, palette::BACKGROUND);
            canvas.text(*left, y, text).size(13.0).colour(*colour).draw();
        }
    }
}
