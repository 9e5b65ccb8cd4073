//! Instants of any year, ages as kubectl prints them, and the date format of `describe`.
//!
//! An age is whole seconds, cut towards zero, in one or two units (apimachinery `pkg/util/duration`; the recorded table is in
//! `tests/kubectl/ages.json`). An object may be older than the simulator's epoch, so this does not use `base::Time`.

use serde_json::Value;

use crate::base::Time;
use crate::base::time::{EPOCH_UNIX_SECONDS, civil_from_days, unix_nanos};

const SECOND: i128 = 1_000_000_000;

/// Nanoseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Instant(i128);

impl Instant {
    /// RFC 3339; `None` if it is malformed.
    pub fn parse(text: &str) -> Option<Instant> {
        unix_nanos(text).map(Instant)
    }
    /// A time stamp of an object; `None` where it is absent, null or malformed.
    pub fn of(stamp: &Value) -> Option<Instant> {
        stamp.as_str().and_then(Instant::parse)
    }
    pub fn plus_seconds(self, seconds: i64) -> Instant {
        Instant(self.0 + i128::from(seconds) * SECOND)
    }
    pub fn plus_millis(self, millis: i64) -> Instant {
        Instant(self.0 + i128::from(millis) * SECOND / 1000)
    }
    /// `Mon, 23 Nov 2026 18:14:54 +0000`: RFC 1123 with a numeric zone, as `describe` prints dates.
    pub fn to_rfc1123(self) -> String {
        const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
        const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let (days, (year, month, day), (hour, minute, second)) = self.civil();
        let weekday = DAYS[days.rem_euclid(7) as usize];
        let month = MONTHS[month as usize - 1];
        format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} +0000")
    }
    /// `2026-11-23 18:14:58 +0000 UTC`: as Go prints a time by itself.
    pub fn to_go(self) -> String {
        let (_, (year, month, day), (hour, minute, second)) = self.civil();
        format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} +0000 UTC")
    }
    /// Days since 1970-01-01, the date, and the time of day.
    fn civil(self) -> (i64, (i64, i64, i64), (i64, i64, i64)) {
        let seconds = self.0.div_euclid(SECOND) as i64;
        let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        (days, civil_from_days(days), (rest / 3600, rest / 60 % 60, rest % 60))
    }
}

impl From<Time> for Instant {
    fn from(time: Time) -> Instant {
        Instant(i128::from(time.nanos()) + i128::from(EPOCH_UNIX_SECONDS) * SECOND)
    }
}

/// The time from `then` to `now`.
pub fn between(then: Instant, now: Instant) -> String {
    // Integer division cuts towards zero, so that a clock that is ahead by less than two seconds counts as even.
    human(((now.0 - then.0) / SECOND) as i64)
}

/// The age of a time stamp; `absent` where there is none.
pub fn since<'a>(stamp: &Value, now: Instant, absent: &'a str) -> std::borrow::Cow<'a, str> {
    match Instant::of(stamp) {
        Some(then) => between(then, now).into(),
        None => absent.into(),
    }
}

/// A span of whole seconds in one or two units.
pub fn human(seconds: i64) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 3600;
    const DAY: i64 = 24 * HOUR;
    const YEAR: i64 = 365 * DAY;
    let two = |large: i64, large_unit: char, small: i64, small_unit: char| {
        if small == 0 { format!("{large}{large_unit}") } else { format!("{large}{large_unit}{small}{small_unit}") }
    };
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        120..600 => two(seconds / MINUTE, 'm', seconds % MINUTE, 's'),
        600..10_800 => format!("{}m", seconds / MINUTE),
        10_800..28_800 => two(seconds / HOUR, 'h', seconds % HOUR / MINUTE, 'm'),
        28_800..172_800 => format!("{}h", seconds / HOUR),
        172_800..691_200 => two(seconds / DAY, 'd', seconds % DAY / HOUR, 'h'),
        691_200..63_072_000 => format!("{}d", seconds / DAY),
        63_072_000..252_288_000 => two(seconds / YEAR, 'y', seconds % YEAR / DAY, 'd'),
        _ => format!("{}y", seconds / YEAR),
    }
}
