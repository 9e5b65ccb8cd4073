//! A canvas: rectangles, lines, hatching and text in logical pixels, over plotters' bitmap backend. The font is embedded.

use std::io;
use std::path::Path;
use std::sync::Once;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, register_font};

/// Every picture is this wide.
pub const WIDTH: f64 = 1600.0;
/// Space around.
pub const MARGIN: f64 = 36.0;
/// Height of title, subtitle and legend.
pub const HEADER: f64 = 116.0;
/// Drawn at twice the size and averaged down: smooth edges.
const SCALE: usize = 2;
const FONT: &str = "clustersim-sans";

/// An opaque colour, or one that covers in part.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Colour(pub u8, pub u8, pub u8);

/// The colours: data in those of Okabe and Ito ("Color universal design", 2008), which colour-blind readers can tell apart.
pub mod palette {
    use super::Colour;

    pub const BACKGROUND: Colour = Colour(255, 255, 255);
    pub const TEXT: Colour = Colour(31, 41, 51);
    pub const SUBTLE: Colour = Colour(97, 110, 124);
    pub const GRID: Colour = Colour(232, 235, 239);
    pub const LANE: Colour = Colour(247, 249, 251);
    pub const BORDER: Colour = Colour(203, 210, 217);
    pub const FAULT: Colour = Colour(196, 60, 0);
    pub const FAULT_BAND: Colour = Colour(253, 240, 232);
    /// Of a node's lane, of which the bars leave little to see.
    pub const FAULT_LANE: Colour = Colour(248, 212, 192);
    pub const TERMINATING: Colour = Colour(176, 184, 193);
    pub const BLUE: Colour = Colour(0, 114, 178);
    pub const ORANGE: Colour = Colour(230, 159, 0);
    pub const GREEN: Colour = Colour(0, 158, 115);
    pub const VERMILLION: Colour = Colour(213, 94, 0);
    pub const SKY: Colour = Colour(86, 180, 233);
    pub const PURPLE: Colour = Colour(204, 121, 167);
    pub const OTHER: Colour = Colour(130, 141, 154);
    /// For workloads, by number.
    pub const WORKLOADS: [Colour; 5] = [BLUE, GREEN, ORANGE, PURPLE, SKY];
}

impl Colour {
    /// Between this colour and another.
    pub fn mix(self, other: Colour, share: f64) -> Colour {
        let part = |a: u8, b: u8| (f64::from(a) + (f64::from(b) - f64::from(a)) * share.clamp(0.0, 1.0)).round() as u8;
        Colour(part(self.0, other.0), part(self.1, other.1), part(self.2, other.2))
    }
    pub fn lighter(self, share: f64) -> Colour {
        self.mix(palette::BACKGROUND, share)
    }
    /// A sequential scale from nearly white to dark blue, for a share of 0 to 1.
    pub fn heat(share: f64) -> Colour {
        let stops = [Colour(241, 245, 249), Colour(158, 202, 225), Colour(49, 130, 189), Colour(8, 48, 107)];
        let place = share.clamp(0.0, 1.0) * (stops.len() - 1) as f64;
        let at = (place as usize).min(stops.len() - 2);
        stops[at].mix(stops[at + 1], place - at as f64)
    }
    fn rgb(self) -> RGBColor {
        RGBColor(self.0, self.1, self.2)
    }
}

/// What stands before a label of the legend.
pub enum Swatch {
    Fill(Colour),
    /// Colour of the ground, colour of the strokes.
    Hatch(Colour, Colour),
    Line(Colour),
    Dashes(Colour),
}

pub struct Canvas {
    width: usize,
    height: usize,
    /// Three bytes a pixel, at `SCALE` times the logical size.
    pixels: Vec<u8>,
}

impl Canvas {
    pub fn new(width: f64, height: f64) -> Canvas {
        static FONTS: Once = Once::new();
        FONTS.call_once(|| {
            let regular = register_font(FONT, FontStyle::Normal, dejavu::sans::regular());
            let bold = register_font(FONT, FontStyle::Bold, dejavu::sans::bold());
            assert!(regular.is_ok() && bold.is_ok(), "the embedded font is readable");
        });
        let (width, height) = (width.ceil() as usize, height.ceil() as usize);
        Canvas { width, height, pixels: vec![255; width * height * 3 * SCALE * SCALE] }
    }
    /// Width and height in pixels of the file.
    pub fn size(&self) -> (u32, u32) {
        (self.width as u32, self.height as u32)
    }

    pub fn rect(&mut self, left: f64, top: f64, right: f64, bottom: f64, colour: Colour) {
        let scaled = |value: f64, limit: usize| (value * SCALE as f64).round().clamp(0.0, (limit * SCALE) as f64) as usize;
        let (left, right) = (scaled(left, self.width), scaled(right, self.width));
        let (top, bottom) = (scaled(top, self.height), scaled(bottom, self.height));
        let stride = self.width * SCALE * 3;
        for row in top..bottom {
            for pixel in self.pixels[row * stride + left * 3..row * stride + right.max(left) * 3].chunks_exact_mut(3) {
                pixel.copy_from_slice(&[colour.0, colour.1, colour.2]);
            }
        }
    }
    /// Diagonal strokes over a ground, continuous across neighbouring rectangles.
    pub fn hatch(&mut self, left: f64, top: f64, right: f64, bottom: f64, ground: Colour, strokes: Colour) {
        self.rect(left, top, right, bottom, ground);
        let scaled = |value: f64, limit: usize| (value * SCALE as f64).round().clamp(0.0, (limit * SCALE) as f64) as usize;
        let (left, right) = (scaled(left, self.width), scaled(right, self.width));
        let (top, bottom) = (scaled(top, self.height), scaled(bottom, self.height));
        // A stroke of 1.5 logical pixels each 6.
        let (period, width) = (6 * SCALE, 3 * SCALE / 2);
        for row in top..bottom {
            for column in left..right {
                if (row + column) % period < width {
                    let at = (row * self.width * SCALE + column) * 3;
                    self.pixels[at..at + 3].copy_from_slice(&[strokes.0, strokes.1, strokes.2]);
                }
            }
        }
    }
    pub fn line(&mut self, points: &[(f64, f64)], colour: Colour, width: f64) {
        let scaled: Vec<(i32, i32)> =
            points.iter().map(|&(x, y)| ((x * SCALE as f64).round() as i32, (y * SCALE as f64).round() as i32)).collect();
        let style =
            ShapeStyle { color: colour.rgb().to_rgba(), filled: false, stroke_width: (width * SCALE as f64).round().max(1.0) as u32 };
        self.with_area(|area| area.draw(&PathElement::new(scaled, style)).expect(INTO_MEMORY));
    }
    pub fn dashes(&mut self, points: &[(f64, f64)], colour: Colour, width: f64) {
        const DASH: f64 = 7.0;
        for pair in points.windows(2) {
            let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
            let length = (x1 - x0).abs().max((y1 - y0).abs());
            let mut from = 0.0;
            while from < length {
                let (a, b) = (from / length, (from + DASH).min(length) / length);
                self.line(&[(x0 + (x1 - x0) * a, y0 + (y1 - y0) * a), (x0 + (x1 - x0) * b, y0 + (y1 - y0) * b)], colour, width);
                from += DASH * 1.7;
            }
        }
    }
    /// A text whose left end is at `x` and whose letters are centred on `y`; set its looks, then `draw` it.
    pub fn text<'c>(&'c mut self, x: f64, y: f64, text: &'c str) -> Label<'c> {
        Label { canvas: self, x, y, text, size: 14.0, colour: palette::TEXT, bold: false, anchor: HPos::Left }
    }
    pub fn swatch(&mut self, x: f64, y: f64, swatch: &Swatch) {
        match *swatch {
            Swatch::Fill(colour) => self.rect(x, y - 7.0, x + 20.0, y + 7.0, colour),
            Swatch::Hatch(ground, strokes) => self.hatch(x, y - 7.0, x + 20.0, y + 7.0, ground, strokes),
            Swatch::Line(colour) => self.rect(x, y - 1.5, x + 20.0, y + 1.5, colour),
            Swatch::Dashes(colour) => self.dashes(&[(x, y), (x + 20.0, y)], colour, 2.0),
        }
    }

    /// Pixels at the size of the file, three bytes each.
    pub fn averaged(&self) -> Vec<u8> {
        let mut small = Vec::with_capacity(self.width * self.height * 3);
        let stride = self.width * SCALE * 3;
        for row in 0..self.height {
            for column in 0..self.width {
                for channel in 0..3 {
                    let mut sum = 0usize;
                    for dy in 0..SCALE {
                        for dx in 0..SCALE {
                            sum += usize::from(self.pixels[(row * SCALE + dy) * stride + (column * SCALE + dx) * 3 + channel]);
                        }
                    }
                    small.push((sum / (SCALE * SCALE)) as u8);
                }
            }
        }
        small
    }
    /// Writes the picture; the format is told by the ending of the name.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let mut backend = BitMapBackend::new(path, self.size());
        let drawn = backend.blit_bitmap((0, 0), self.size(), &self.averaged()).and_then(|()| backend.present());
        drawn.map_err(|error| as_io_error(error.to_string()))
    }

    fn with_area<T>(&mut self, draw: impl FnOnce(&DrawingArea<BitMapBackend, plotters::coord::Shift>) -> T) -> T {
        let size = ((self.width * SCALE) as u32, (self.height * SCALE) as u32);
        let area = BitMapBackend::with_buffer(&mut self.pixels, size).into_drawing_area();
        draw(&area)
    }
}

const INTO_MEMORY: &str = "drawing into memory can't fail";

/// A full disk is told as one: the backend's error can't be named or taken apart from here, but its text has the kind of the one within.
fn as_io_error(text: String) -> io::Error {
    let kind = if text.contains("StorageFull") { io::ErrorKind::StorageFull } else { io::ErrorKind::Other };
    io::Error::new(kind, text)
}

/// A text to be drawn.
pub struct Label<'c> {
    canvas: &'c mut Canvas,
    x: f64,
    y: f64,
    text: &'c str,
    size: f64,
    colour: Colour,
    bold: bool,
    anchor: HPos,
}

impl Label<'_> {
    pub fn size(self, size: f64) -> Self {
        Label { size, ..self }
    }
    pub fn colour(self, colour: Colour) -> Self {
        Label { colour, ..self }
    }
    pub fn bold(self) -> Self {
        Label { bold: true, ..self }
    }
    pub fn centre(self) -> Self {
        Label { anchor: HPos::Center, ..self }
    }
    pub fn right(self) -> Self {
        Label { anchor: HPos::Right, ..self }
    }
    fn font(&self) -> FontDesc<'static> {
        let style = if self.bold { FontStyle::Bold } else { FontStyle::Normal };
        FontDesc::new(FontFamily::Name(FONT), self.size * SCALE as f64, style)
    }
    /// How wide it will be.
    pub fn width(&self) -> f64 {
        self.font().box_size(self.text).map_or(0.0, |(width, _)| f64::from(width)) / SCALE as f64
    }
    /// Draws it; gives its width.
    pub fn draw(self) -> f64 {
        let width = self.width();
        let style = TextStyle { font: self.font(), color: self.colour.rgb().to_backend_color(), pos: Pos::new(self.anchor, VPos::Center) };
        // The rasteriser centres the font's line, whose letters stand a little above its middle.
        let y = self.y + self.size * 0.14;
        let at = ((self.x * SCALE as f64).round() as i32, (y * SCALE as f64).round() as i32);
        self.canvas.with_area(|area| area.draw_text(self.text, &style, at).expect(INTO_MEMORY));
        width
    }
}
