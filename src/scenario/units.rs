//! Human units: what people write (`"5m30s"`, `"500m"`, `"8Gi"`, `"1Gbit/s"`, `"40%"`) and the exact integers that they mean.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use crate::base::{Duration, Time};
use crate::objects::Quantity;

/// `"5m30s"`, `"250ms"`, `"1h"`, `"0"`: a sum of whole or decimal numbers with units d, h, m, s, ms, us, ns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span(pub Duration);
/// RFC 3339, 2020 or later: `"2026-03-01T08:00:00Z"`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Instant(pub Time);
/// A Kubernetes quantity: `"500m"`, `"8Gi"`, `4`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Amount(pub Quantity);
/// Bytes as a quantity: `"50Mi"`, `"1G"`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bytes(pub u64);
/// Bytes per second: `"1Gbit/s"`, `"100Mbit/s"`, `"120MB/s"`, `"64MiB/s"`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bandwidth(pub u64);
/// Thousandths of something per second: `20`, `"20/s"`, `"0.1/s"`, `"90/min"`, `"5/h"`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate(pub u64);
/// Thousandths: `"40%"`, `"0.5%"`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Percent(pub u64);
/// A probability: `"0.001%"`, `"50%"`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Probability(pub f64);

/// The units by the name that the schema's `format` gives them.
pub const FORMATS: [&str; 8] = ["duration", "instant", "quantity", "bytes", "bandwidth", "rate", "percent", "probability"];

/// Whether `text` is written as the unit `format` wants; the error says what is wrong and what would be right. Unknown formats
/// accept all.
pub fn check(format: &str, text: &str) -> Result<(), (String, &'static str)> {
    let (sound, what, example) = match format {
        "duration" => (parse_duration(text).is_some(), "a duration", "\"90s\", \"5m30s\" or \"250ms\""),
        "instant" => (Time::from_rfc3339(text).is_some(), "an RFC 3339 time of 2020 or later", "\"2026-03-01T08:00:00Z\""),
        "quantity" => (parse_quantity(text).is_some(), "a quantity", "\"2\", \"500m\" or \"8Gi\""),
        "bytes" => (parse_bytes(text).is_some(), "a number of bytes", "\"50Mi\" or \"1G\""),
        "bandwidth" => (parse_bandwidth(text).is_some(), "a bandwidth", "\"1Gbit/s\", \"100Mbit/s\" or \"120MB/s\""),
        "rate" => (parse_rate(text).is_some(), "a rate", "20, \"0.1/s\" or \"90/min\""),
        "percent" => (parse_percent(text).is_some(), "a percentage in steps of a tenth", "\"40%\" or \"0.5%\""),
        "probability" => (parse_probability(text).is_some(), "a probability", "\"0.001%\" or \"50%\""),
        _ => (true, "", ""),
    };
    let shown: String = text.chars().take(60).collect();
    if sound { Ok(()) } else { Err((format!("{} is not {what}", serde_json::Value::from(shown)), example)) }
}

/// A decimal number in units of 10^-`digits`, exact; `None` for anything else or if it does not fit.
fn decimal(text: &str, digits: u32) -> Option<u128> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !plain(whole) || !plain(fraction) || text.ends_with('.') || whole.len() > 24 || fraction.len() > digits as usize
    {
        return None;
    }
    let scale = 10u128.pow(digits);
    let fraction_value = if fraction.is_empty() { 0 } else { fraction.parse::<u128>().ok()? * 10u128.pow(digits - fraction.len() as u32) };
    whole.parse::<u128>().ok()?.checked_mul(scale)?.checked_add(fraction_value)
}

fn split_number(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()))
}

pub fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut nanos: u128 = 0;
    let mut last = u128::MAX;
    while !rest.is_empty() {
        let (number, after) = split_number(rest);
        let unit = &after[..after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len())];
        let size: u128 = match unit {
            "d" => 86_400_000_000_000,
            "h" => 3_600_000_000_000,
            "m" => 60_000_000_000,
            "s" => 1_000_000_000,
            "ms" => 1_000_000,
            "us" => 1_000,
            "ns" => 1,
            _ => return None,
        };
        // From large to small, each at most once: "5s3m" is a slip.
        if size >= last {
            return None;
        }
        last = size;
        let value = decimal(number, 9)?.checked_mul(size)?;
        if value % 1_000_000_000 != 0 {
            return None;
        }
        nanos = nanos.checked_add(value / 1_000_000_000)?;
        rest = &after[unit.len()..];
    }
    if text.is_empty() { None } else { u64::try_from(nanos).ok().map(Duration::from_nanos) }
}

/// `"90s"`, `"6m40s"`: the inverse of [`parse_duration`], for messages.
pub fn format_duration(span: Duration) -> String {
    let mut nanos = span.nanos();
    let mut text = String::new();
    for (size, unit) in [
        (86_400_000_000_000, "d"),
        (3_600_000_000_000, "h"),
        (60_000_000_000, "m"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
        (1_000, "us"),
        (1, "ns"),
    ] {
        if nanos >= size {
            text += &format!("{}{unit}", nanos / size);
            nanos %= size;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

pub fn parse_quantity(text: &str) -> Option<Quantity> {
    // An absurd exponent is refused before it is parsed.
    let exponent = text.find(['e', 'E']).map_or(0, |at| text.len() - at);
    if exponent > 4 || text.len() > 40 {
        return None;
    }
    Quantity::parse(text).filter(|quantity| !quantity.is_negative())
}

pub fn parse_bytes(text: &str) -> Option<u64> {
    parse_quantity(text).and_then(|quantity| u64::try_from(quantity.value()).ok())
}

pub fn parse_bandwidth(text: &str) -> Option<u64> {
    let (number, unit) = split_number(text.strip_suffix("/s")?);
    let thousandths = decimal(number, 3)?;
    let (multiplier, divisor) = match unit {
        "bit" => (1, 8),
        "kbit" => (1_000, 8),
        "Mbit" => (1_000_000, 8),
        "Gbit" => (1_000_000_000, 8),
        "Tbit" => (1_000_000_000_000, 8),
        "B" => (1, 1),
        "kB" => (1_000, 1),
        "MB" => (1_000_000, 1),
        "GB" => (1_000_000_000, 1),
        "KiB" => (1 << 10, 1),
        "MiB" => (1 << 20, 1),
        "GiB" => (1u128 << 30, 1),
        _ => return None,
    };
    u64::try_from(thousandths.checked_mul(multiplier)? / 1000 / divisor).ok().filter(|bytes| *bytes > 0)
}

pub fn parse_rate(text: &str) -> Option<u64> {
    let (number, unit) = split_number(text);
    let seconds = match unit {
        "" | "/s" => 1,
        "/m" | "/min" => 60,
        "/h" => 3600,
        _ => return None,
    };
    u64::try_from(decimal(number, 3)? / seconds).ok()
}

pub fn parse_percent(text: &str) -> Option<u64> {
    decimal(text.strip_suffix('%')?, 1).and_then(|tenths| u64::try_from(tenths).ok())
}

pub fn parse_probability(text: &str) -> Option<f64> {
    let millionths = decimal(text.strip_suffix('%')?, 9)?;
    (millionths <= 100_000_000_000).then(|| millionths as f64 / 1e11)
}

/// Gives a unit its reading from JSON and its schema.
macro_rules! unit {
    ($type:ident, $format:literal, $parse:expr, [$($json:literal),+], $pattern:literal, $description:literal, $example:literal) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
                let text = match serde_json::Value::deserialize(deserializer)? {
                    serde_json::Value::String(text) => text,
                    other => other.to_string(),
                };
                let parse: fn(&str) -> Option<_> = $parse;
                parse(&text).map($type).ok_or_else(|| serde::de::Error::custom(format!("\"{text}\" is not a {}", $format)))
            }
        }
        impl JsonSchema for $type {
            fn inline_schema() -> bool { false }
            fn schema_name() -> Cow<'static, str> { stringify!($type).into() }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": [$($json),+], "format": $format, "pattern": $pattern, "description": $description, "examples": [$example]
                })
            }
        }
    };
}
unit!(
    Span,
    "duration",
    parse_duration,
    ["string"],
    r"^(0|([0-9]+(\.[0-9]+)?(d|h|m|s|ms|us|ns))+)$",
    "A span of time: numbers with units d, h, m, s, ms, us, ns, from large to small.",
    "5m30s"
);
unit!(
    Instant,
    "instant",
    Time::from_rfc3339,
    ["string"],
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]",
    "An instant in RFC 3339, 2020 or later.",
    "2026-03-01T08:00:00Z"
);
unit!(
    Amount,
    "quantity",
    parse_quantity,
    ["string", "number"],
    r"^[0-9.]+([eE][0-9]+|[numkMGTPE]|[KMGTPE]i)?$",
    "A Kubernetes quantity.",
    "500m"
);
unit!(
    Bytes,
    "bytes",
    parse_bytes,
    ["string", "number"],
    r"^[0-9.]+([eE][0-9]+|[numkMGTPE]|[KMGTPE]i)?$",
    "A number of bytes, as a quantity.",
    "50Mi"
);
unit!(
    Bandwidth,
    "bandwidth",
    parse_bandwidth,
    ["string"],
    r"^[0-9]+(\.[0-9]+)?([kMGT]?bit|[kMG]?B|[KMG]iB)/s$",
    "Bits or bytes a second.",
    "1Gbit/s"
);
unit!(
    Rate,
    "rate",
    parse_rate,
    ["string", "number"],
    r"^[0-9]+(\.[0-9]+)?(/s|/m|/min|/h)?$",
    "How often: a number a second, or with a unit.",
    "0.1/s"
);
unit!(Percent, "percent", parse_percent, ["string"], r"^[0-9]+(\.[0-9])?%$", "A percentage, in steps of a tenth.", "40%");
unit!(Probability, "probability", parse_probability, ["string"], r"^[0-9]+(\.[0-9]+)?%$", "A probability as a percentage.", "0.001%");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_exact() {
        for (text, nanos) in [
            ("5m30s", 330_000_000_000),
            ("250ms", 250_000_000),
            ("0", 0),
            ("0s", 0),
            ("1.5s", 1_500_000_000),
            ("1d2h", 93_600_000_000_000),
            ("20us", 20_000),
            ("1ns", 1),
        ] {
            assert_eq!(parse_duration(text), Some(Duration::from_nanos(nanos)), "{text}");
        }
        for bad in ["", "5", "s", "5x", "-5s", "5s3m", "1s1s", "1.s", ".5s", "0.5ns", "5 s", "1e3s", "999999999999d", "5m30"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
        assert_eq!(format_duration(Duration::from_millis(400_250)), "6m40s250ms");
    }

    #[test]
    fn bandwidths_rates_and_shares() {
        assert_eq!(parse_bandwidth("1Gbit/s"), Some(125_000_000));
        assert_eq!(parse_bandwidth("1.5MB/s"), Some(1_500_000));
        assert_eq!(parse_bandwidth("64MiB/s"), Some(64 << 20));
        assert_eq!((parse_bandwidth("1Gbit"), parse_bandwidth("0bit/s"), parse_bandwidth("1 Gbit/s")), (None, None, None));
        assert_eq!(
            (parse_rate("20"), parse_rate("0.1/s"), parse_rate("90/min"), parse_rate("1/d")),
            (Some(20_000), Some(100), Some(1_500), None)
        );
        assert_eq!((parse_percent("40%"), parse_percent("0.5%"), parse_percent("40")), (Some(400), Some(5), None));
        assert_eq!((parse_probability("0.001%"), parse_probability("101%")), (Some(1e-5), None));
        assert_eq!((parse_bytes("50Mi"), parse_bytes("-1"), parse_bytes("1e99999999")), (Some(50 << 20), None, None));
    }
}
