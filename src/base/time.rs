//! Integer time in nanoseconds.
//!
//! [`Time`] counts from a fixed epoch, 2020-01-01T00:00:00Z, which is also the default `startTime` of a scenario: a default run starts
//! at `Time::ZERO`, and an API time stamp is a `Time` that can be written as RFC 3339 without knowing the run. Reports subtract the
//! run's start.

use std::fmt;
use std::ops::{Add, AddAssign, Mul, Sub};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Unix time of `Time::ZERO`, in seconds: 2020-01-01T00:00:00Z.
pub const EPOCH_UNIX_SECONDS: i64 = 1_577_836_800;

/// An instant: nanoseconds since 2020-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(u64);

/// A span of time in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Duration(u64);

impl Time {
    pub const ZERO: Time = Time(0);
    /// Later than every instant that happens: the deadline of one who waits for nothing.
    pub const NEVER: Time = Time(u64::MAX);

    pub const fn from_nanos(nanos: u64) -> Time {
        Time(nanos)
    }
    pub const fn from_millis(millis: u64) -> Time {
        Time(millis * 1_000_000)
    }
    pub const fn from_secs(secs: u64) -> Time {
        Time(secs * 1_000_000_000)
    }
    pub const fn nanos(self) -> u64 {
        self.0
    }
    /// Seconds as a float, for people and pictures only; no decision may use it.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }
    /// The time since `earlier`; zero if `earlier` is later.
    pub const fn since(self, earlier: Time) -> Duration {
        Duration(self.0.saturating_sub(earlier.0))
    }
    /// Cut to whole seconds, as `metav1.Time` is (apimachinery `pkg/apis/meta/v1/time.go`).
    pub const fn truncate_to_second(self) -> Time {
        Time(self.0 - self.0 % 1_000_000_000)
    }
    /// Cut to whole microseconds, as `metav1.MicroTime` is.
    pub const fn truncate_to_micro(self) -> Time {
        Time(self.0 - self.0 % 1_000)
    }
    /// The first instant at or after `self` that is `phase + n * period` for a whole n.
    pub fn next_tick(self, phase: Time, period: Duration) -> Time {
        if self <= phase || period.0 == 0 {
            return phase.max(if period.0 == 0 { self } else { phase });
        }
        let past = self.0 - phase.0;
        let ticks = past.div_ceil(period.0);
        Time(phase.0.saturating_add(ticks.saturating_mul(period.0)))
    }
    /// RFC 3339 in UTC: whole seconds without a fraction, else microseconds (as Kubernetes writes `Time` and `MicroTime`).
    pub fn to_rfc3339(self) -> String {
        let seconds = (self.0 / 1_000_000_000) as i64 + EPOCH_UNIX_SECONDS;
        let micros = self.0 % 1_000_000_000 / 1_000;
        let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = civil_from_days(days);
        let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
        if micros == 0 {
            format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
        } else {
            format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
        }
    }
    /// Parses RFC 3339 (`Z` or an offset); `None` if it is malformed or before the epoch.
    pub fn from_rfc3339(text: &str) -> Option<Time> {
        let since = unix_nanos(text)? - i128::from(EPOCH_UNIX_SECONDS) * 1_000_000_000;
        u64::try_from(since).ok().map(Time)
    }
}

/// Nanoseconds since 1970-01-01T00:00:00Z of an RFC 3339 time (`Z` or an offset), of any year; `None` if it is malformed.
pub fn unix_nanos(text: &str) -> Option<i128> {
    let bytes = text.as_bytes();
    let digits = |range: std::ops::Range<usize>| -> Option<i64> {
        let part = text.get(range)?;
        part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?
    };
    let punctuation = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    if bytes.len() < 20 || punctuation.iter().any(|&(at, wanted)| bytes[at] != wanted) || !matches!(bytes[10], b'T' | b't' | b' ') {
        return None;
    }
    let (year, month, day) = (digits(0..4)?, digits(5..7)?, digits(8..10)?);
    let (hour, minute, second) = (digits(11..13)?, digits(14..16)?, digits(17..19)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // A day that its month does not have would count as one of the next.
    if civil_from_days(days_from_civil(year, month, day)) != (year, month, day) {
        return None;
    }
    let mut at = 19;
    let mut nanos = 0i64;
    if bytes[at] == b'.' {
        let start = at + 1;
        let end = start + text[start..].bytes().take_while(u8::is_ascii_digit).count();
        if end == start || end - start > 9 {
            return None;
        }
        nanos = digits(start..end)? * 10i64.pow((9 - (end - start)) as u32);
        at = end;
    }
    let offset = match text.get(at..)? {
        "Z" | "z" => 0,
        zone if zone.len() == 6 && zone.as_bytes()[3] == b':' => {
            let sign = match zone.as_bytes()[0] {
                b'+' => 1,
                b'-' => -1,
                _ => return None,
            };
            sign * (digits(at + 1..at + 3)? * 3600 + digits(at + 4..at + 6)? * 60)
        }
        _ => return None,
    };
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    Some(i128::from(seconds) * 1_000_000_000 + i128::from(nanos))
}

/// Days since 1970-01-01 -> (year, month, day) of the proleptic Gregorian calendar (Hinnant, "chrono-compatible low-level date
/// algorithms").
pub fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The inverse of [`civil_from_days`].
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

impl Duration {
    pub const ZERO: Duration = Duration(0);
    pub const MAX: Duration = Duration(u64::MAX);

    pub const fn from_nanos(nanos: u64) -> Duration {
        Duration(nanos)
    }
    pub const fn from_micros(micros: u64) -> Duration {
        Duration(micros * 1_000)
    }
    pub const fn from_millis(millis: u64) -> Duration {
        Duration(millis * 1_000_000)
    }
    pub const fn from_secs(secs: u64) -> Duration {
        Duration(secs * 1_000_000_000)
    }
    /// From a float of seconds, rounded to the nearest nanosecond; negative and NaN become zero. For sampled latencies.
    pub fn from_secs_f64(secs: f64) -> Duration {
        Duration((secs * 1e9 + 0.5) as u64)
    }
    pub const fn nanos(self) -> u64 {
        self.0
    }
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000_000
    }
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }
    pub const fn saturating_sub(self, other: Duration) -> Duration {
        Duration(self.0.saturating_sub(other.0))
    }
    /// `self * numerator / denominator`, rounded down, without overflow inside.
    pub const fn scale(self, numerator: u64, denominator: u64) -> Duration {
        Duration((self.0 as u128 * numerator as u128 / denominator as u128) as u64)
    }
}

impl Add<Duration> for Time {
    type Output = Time;
    fn add(self, span: Duration) -> Time {
        Time(self.0.saturating_add(span.0))
    }
}
impl AddAssign<Duration> for Time {
    fn add_assign(&mut self, span: Duration) {
        *self = *self + span;
    }
}
impl Sub<Duration> for Time {
    type Output = Time;
    fn sub(self, span: Duration) -> Time {
        Time(self.0.saturating_sub(span.0))
    }
}
impl Sub<Time> for Time {
    type Output = Duration;
    fn sub(self, earlier: Time) -> Duration {
        self.since(earlier)
    }
}
impl Add for Duration {
    type Output = Duration;
    fn add(self, other: Duration) -> Duration {
        Duration(self.0.saturating_add(other.0))
    }
}
impl AddAssign for Duration {
    fn add_assign(&mut self, other: Duration) {
        *self = *self + other;
    }
}
impl Mul<u64> for Duration {
    type Output = Duration;
    fn mul(self, factor: u64) -> Duration {
        Duration(self.0.saturating_mul(factor))
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Time::NEVER { f.write_str("never") } else { fmt::Display::fmt(self, f) }
    }
}
/// Seconds since the epoch with as many decimals as are needed, at least three: `50.123s`.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_seconds(self.0, f)
    }
}
impl fmt::Debug for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_seconds(self.0, f)
    }
}
fn write_seconds(nanos: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (seconds, fraction) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    if fraction.is_multiple_of(1_000_000) {
        write!(f, "{seconds}.{:03}s", fraction / 1_000_000)
    } else if fraction.is_multiple_of(1_000) {
        write!(f, "{seconds}.{:06}s", fraction / 1_000)
    } else {
        write!(f, "{seconds}.{fraction:09}s")
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.serialize_str(&self.to_rfc3339()) } else { serializer.serialize_u64(self.0) }
    }
}
impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            Time::from_rfc3339(&text)
                .ok_or_else(|| serde::de::Error::custom(format!("\"{text}\" is not an RFC 3339 time stamp of 2020 or later")))
        } else {
            u64::deserialize(deserializer).map(Time)
        }
    }
}
impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}
impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_stamp_survives_rfc3339() {
        for text in ["2020-01-01T00:00:00Z", "2024-02-29T23:59:59Z", "2026-11-23T18:50:34.000123Z", "2119-12-31T12:00:00Z"] {
            assert_eq!(Time::from_rfc3339(text).unwrap().to_rfc3339(), text);
        }
        assert_eq!(Time::from_rfc3339("2020-01-01T02:00:00+02:00"), Some(Time::ZERO));
        for bad in ["2019-12-31T23:59:59Z", "2020-13-01T00:00:00Z", "yesterday", "2020-01-01", "2020-01-01T00:00:00"] {
            assert_eq!(Time::from_rfc3339(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_next_tick_keeps_its_phase() {
        let (phase, period) = (Time::from_millis(300), Duration::from_secs(1));
        assert_eq!(Time::ZERO.next_tick(phase, period), phase);
        assert_eq!(Time::from_millis(1_300).next_tick(phase, period), Time::from_millis(1_300));
        assert_eq!(Time::from_millis(1_301).next_tick(phase, period), Time::from_millis(2_300));
    }
}
