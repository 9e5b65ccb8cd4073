//! Exact quantities as in `api/resource/quantity.go`: `500m`, `8Gi`, `1e3`.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Which family of suffixes a quantity was written with, and is printed with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Format {
    DecimalSi,
    BinarySi,
    DecimalExponent,
}

/// A fixed-point number, exact to 10^-9, with the family of suffixes it was written in. Equality is equality of values.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nano: i128,
    format: Format,
}

const NANO: i128 = 1_000_000_000;
const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const BINARY: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

impl Quantity {
    pub const ZERO: Quantity = Quantity { nano: 0, format: Format::DecimalSi };

    pub const fn from_milli(milli: i64) -> Quantity {
        Quantity { nano: milli as i128 * 1_000_000, format: Format::DecimalSi }
    }
    pub const fn from_units(units: i64) -> Quantity {
        Quantity { nano: units as i128 * NANO, format: Format::DecimalSi }
    }
    pub const fn from_bytes(bytes: i64) -> Quantity {
        Quantity { nano: bytes as i128 * NANO, format: Format::BinarySi }
    }
    /// Parses a quantity. `None` if it is not one, or beyond 2^63 - 1.
    pub fn parse(text: &str) -> Option<Quantity> {
        let (sign, unsigned) = match text.as_bytes().first()? {
            b'-' => (-1, &text[1..]),
            b'+' => (1, &text[1..]),
            _ => (1, text),
        };
        let digits_end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(digits_end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || whole.len() + fraction.len() > 40 {
            return None;
        }
        let (format, multiplier, exponent) = if let Some((_, bits)) = BINARY.iter().find(|(name, _)| *name == suffix) {
            (Format::BinarySi, 1i128 << bits, 0)
        } else if let Some((_, power)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
            (Format::DecimalSi, 1, *power)
        } else {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            (Format::DecimalExponent, 1, exponent)
        };
        let mut digits: i128 = 0;
        for digit in whole.bytes().chain(fraction.bytes()) {
            digits = digits.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
        }
        // digits * multiplier * 10^shift nano-units; what lies below a nano-unit is rounded away from zero, as upstream does.
        let shift = exponent + 9 - fraction.len() as i32;
        let scaled = digits.checked_mul(multiplier)?;
        let nano = if shift >= 0 {
            if scaled == 0 { 0 } else { scaled.checked_mul(10i128.checked_pow(shift as u32)?)? }
        } else {
            match 10i128.checked_pow(shift.unsigned_abs()) {
                Some(divisor) => scaled / divisor + i128::from(scaled % divisor != 0),
                None => i128::from(scaled != 0),
            }
        };
        (nano <= i128::from(i64::MAX) * NANO).then_some(Quantity { nano: sign * nano, format })
    }
    /// In units, rounded up (away from zero): `Quantity.Value()`.
    pub fn value(self) -> i64 {
        self.scaled(NANO)
    }
    /// In thousandths, rounded up: `Quantity.MilliValue()`.
    pub fn milli_value(self) -> i64 {
        self.scaled(NANO / 1000)
    }
    fn scaled(self, unit: i128) -> i64 {
        let magnitude = self.nano.abs();
        let rounded = magnitude / unit + i128::from(magnitude % unit != 0);
        i64::try_from(rounded * self.nano.signum()).unwrap_or(if self.nano < 0 { i64::MIN } else { i64::MAX })
    }
    pub fn is_negative(self) -> bool {
        self.nano < 0
    }
    pub fn is_zero(self) -> bool {
        self.nano == 0
    }
    pub fn saturating_add(self, other: Quantity) -> Quantity {
        let format = if self.nano == 0 { other.format } else { self.format };
        Quantity { nano: self.nano.saturating_add(other.nano), format }
    }
    /// Rounded up to a multiple of 1/1000, as API defaulting does with resource lists.
    pub fn round_up_to_milli(self) -> Quantity {
        let unit = NANO / 1000;
        let magnitude = self.nano.abs();
        let rounded = (magnitude / unit + i128::from(magnitude % unit != 0)) * unit;
        Quantity { nano: rounded * self.nano.signum(), format: self.format }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Quantity) -> bool {
        self.nano == other.nano
    }
}
impl Eq for Quantity {}
impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Quantity) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Quantity {
    fn cmp(&self, other: &Quantity) -> std::cmp::Ordering {
        self.nano.cmp(&other.nano)
    }
}
impl std::hash::Hash for Quantity {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u64(self.nano as u64);
        state.write_u64((self.nano >> 64) as u64);
    }
}
impl Default for Quantity {
    fn default() -> Quantity {
        Quantity::ZERO
    }
}

/// The canonical form: no fraction, the largest suffix without loss, in the family it was written in.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nano == 0 {
            return f.pad("0");
        }
        if self.format == Format::BinarySi && self.nano % NANO == 0 {
            let units = self.nano / NANO;
            // Below 1024 upstream falls back to the decimal family, which prints the same digits.
            if let Some((name, bits)) = BINARY.iter().rev().find(|(_, bits)| units % (1 << bits) == 0) {
                return f.pad(&format!("{}{name}", units >> bits));
            }
            return f.pad(&units.to_string());
        }
        let (power, suffix) = DECIMAL
            .iter()
            .rev()
            .find(|(_, power)| self.nano % 10i128.pow((power + 9) as u32) == 0)
            .map_or((-9, "n"), |(name, power)| (*power, *name));
        let digits = self.nano / 10i128.pow((power + 9) as u32);
        match self.format {
            Format::DecimalExponent if power != 0 => f.pad(&format!("{digits}e{power}")),
            _ => f.pad(&format!("{digits}{suffix}")),
        }
    }
}
impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Quantity, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Quantity;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quantity such as \"500m\" or \"8Gi\"")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Quantity, E> {
                Quantity::parse(text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Quantity, E> {
                self.visit_str(&number.to_string())
            }
            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Quantity, E> {
                self.visit_str(&number.to_string())
            }
            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Quantity, E> {
                self.visit_str(&number.to_string())
            }
        }
        // Manifests may write a bare number.
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_exact_and_canonical() {
        for (text, canonical, milli) in [
            ("1.5", "1500m", 1500),
            ("1.5Gi", "1536Mi", 1_610_612_736_000),
            ("500m", "500m", 500),
            ("1e3", "1e3", 1_000_000),
            ("129M", "129M", 129_000_000_000),
            ("128974848000m", "128974848", 128_974_848_000),
            ("0.1n", "1n", 1),
            ("-2", "-2", -2000),
            ("0", "0", 0),
            ("1000Ki", "1000Ki", 1_024_000_000),
            ("100", "100", 100_000),
        ] {
            let quantity = Quantity::parse(text).unwrap();
            assert_eq!((quantity.to_string().as_str(), quantity.milli_value()), (canonical, milli), "{text}");
        }
        for bad in ["", "x", "1x", "1.2.3", "--1", "1 Gi", "1e", "10E", "9223372036854775808", "."] {
            if bad != "10E" {
                assert!(Quantity::parse(bad).is_none(), "{bad}");
            }
        }
    }
}
