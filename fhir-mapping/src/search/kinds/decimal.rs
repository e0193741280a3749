//! Decimals of any length and exponent, compared by their texts: no number that a resource may hold
//! is too large to be found, and none makes comparing slow.

use bigdecimal::num_bigint::{BigInt, Sign};
use std::cmp::Ordering;
use std::str::FromStr;

/// A number as sign, digits and the place of its point: `0.digits * 10^point`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::search) struct Decimal {
    is_negative: bool,
    /// Neither leading nor trailing zeros; empty for zero.
    digits: String,
    point: i64,
}

/// A number as it was written, with its precision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::search) struct Written {
    pub(in crate::search) number: Decimal,
    /// All digits as an integer of `10^unit`.
    integer: BigInt,
    unit: i64,
}

/// Exponents stop growing here: such numbers differ from all others, and are equal to each other.
const EXPONENT_MAX: i64 = 1 << 60;
/// A request with a longer number is refused.
const ASKED_BYTES_MAX: usize = 1000;

/// The parts of a number's text: is it negative, digits, exponent of the last digit, has it an `e`.
fn parts(text: &str) -> Option<(bool, String, i64, bool)> {
    let (is_negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = whole.to_owned();
    digits.push_str(fraction);
    let is_number = !whole.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let is_whole = !mantissa.ends_with('.') && exponent.is_none_or(is_exponent);
    if !is_number || !is_whole {
        return None;
    }
    let places = i64::try_from(fraction.len()).ok()?;
    let unit = exponent.map_or(0, saturated) - places;
    Some((is_negative, digits, unit, exponent.is_some()))
}

fn is_exponent(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-', ' ']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

fn saturated(text: &str) -> i64 {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.trim_start_matches(['+', ' '])),
    };
    let size = digits.parse().unwrap_or(EXPONENT_MAX).min(EXPONENT_MAX);
    if is_negative { -size } else { size }
}

impl Decimal {
    /// `None` for what is no number.
    pub(in crate::search) fn parse(text: &str) -> Option<Decimal> {
        let (is_negative, digits, unit, _) = parts(text)?;
        Some(Decimal::of(is_negative, &digits, unit))
    }

    fn of(is_negative: bool, digits: &str, unit: i64) -> Decimal {
        let digits = digits.trim_start_matches('0');
        let length = i64::try_from(digits.len()).unwrap_or(EXPONENT_MAX);
        let digits = digits.trim_end_matches('0');
        if digits.is_empty() {
            return Decimal::default();
        }
        Decimal {
            is_negative,
            digits: digits.to_owned(),
            point: length.saturating_add(unit),
        }
    }

    fn of_integer(integer: &BigInt, unit: i64) -> Decimal {
        let digits = integer.magnitude().to_string();
        Decimal::of(integer.sign() == Sign::Minus, &digits, unit)
    }

    /// Written out, for conversion between units; `None` when it is too long or too far from 1.
    pub(in crate::search) fn moderate(&self) -> Option<String> {
        let length = i64::try_from(self.digits.len()).ok()?;
        let is_moderate = length <= 60 && self.point.abs() <= 300;
        let sign = if self.is_negative { "-" } else { "" };
        let digits = if self.digits.is_empty() {
            "0"
        } else {
            &self.digits
        };
        is_moderate.then(|| format!("{sign}{digits}e{}", self.point - length))
    }

    /// Bytes in the order of the numbers: sign, place of the point, digits; inverted below zero.
    pub(in crate::search) fn order_bytes(&self) -> Vec<u8> {
        if self.digits.is_empty() {
            return vec![1];
        }
        let mut bytes = (self.point ^ i64::MIN).to_be_bytes().to_vec();
        bytes.extend(self.digits.bytes());
        if self.is_negative {
            bytes.push(0);
            bytes.iter_mut().for_each(|b| *b = !*b);
        }
        bytes.insert(0, if self.is_negative { 0 } else { 2 });
        bytes
    }

    fn sign(&self) -> i8 {
        match (self.digits.is_empty(), self.is_negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        }
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Decimal) -> Ordering {
        let size = || (self.point, &self.digits).cmp(&(other.point, &other.digits));
        self.sign()
            .cmp(&other.sign())
            .then_with(|| match self.sign() {
                0 => Ordering::Equal,
                1 => size(),
                _ => size().reverse(),
            })
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Decimal) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Written {
    pub(in crate::search) fn parse(text: &str) -> Option<Written> {
        if text.len() > ASKED_BYTES_MAX {
            return None;
        }
        let (is_negative, digits, unit, has_exponent) = parts(text)?;
        let sign = if is_negative { "-" } else { "" };
        let integer = BigInt::from_str(&format!("{sign}{digits}")).ok()?;
        let number = Decimal::of(is_negative, &digits, unit);
        // `1e2` is 95 to 105 in the standard's own example: a lone digit has one more behind it.
        let is_lone = has_exponent && digits.len() == 1;
        Some(match is_lone {
            true => Written {
                number,
                integer: integer * 10,
                unit: unit - 1,
            },
            false => Written {
                number,
                integer,
                unit,
            },
        })
    }

    /// The number less and plus half a unit of its last digit: 99.5 and 100.5 for `100`.
    pub(in crate::search) fn rounded(&self) -> (Decimal, Decimal) {
        let tenfold = &self.integer * 10;
        let at = |integer: BigInt| Decimal::of_integer(&integer, self.unit - 1);
        (at(&tenfold - 5), at(tenfold + 5))
    }

    /// The number less and plus a tenth of itself, or what it may be rounded from if that is wider.
    pub(in crate::search) fn approximate(&self) -> (Decimal, Decimal) {
        let tenth = BigInt::from(self.integer.magnitude().clone());
        let tenfold = &self.integer * 10;
        let at = |integer: BigInt| Decimal::of_integer(&integer, self.unit - 1);
        let (low, high) = self.rounded();
        (
            at(&tenfold - &tenth).min(low),
            at(tenfold + tenth).max(high),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order() {
        let ascending = [
            "-1e999999999999999999999",
            "-1e400",
            "-20.5",
            "-20",
            "-3",
            "-0.001",
            "0",
            "1e-99999",
            "0.0010",
            "0.9",
            "3",
            "20",
            "20.5",
            "123456789012345678901234567890123456789012345678901234567890123456789.5",
            "1e400",
            "1e999999999999999999999",
        ];
        for pair in ascending.windows(2) {
            let [a, b] = [
                Decimal::parse(pair[0]).unwrap(),
                Decimal::parse(pair[1]).unwrap(),
            ];
            assert!(a < b && a.order_bytes() < b.order_bytes(), "{pair:?}");
        }
        for (a, b) in [
            ("7.20", "7.2"),
            ("100", "1e2"),
            ("-0", "0.00"),
            ("0e5", "0"),
            ("1.5E+3", "1500"),
        ] {
            assert_eq!(Decimal::parse(a), Decimal::parse(b), "{a} {b}");
        }
        for text in [
            "", "-", "1.", ".5", "1e", "1e+", "0x1", "1,5", "NaN", "--1", "1e5.0",
        ] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
    }

    #[test]
    fn precision() {
        for (text, low, high, near) in [
            ("100", "99.5", "100.5", "90"),
            ("100.00", "99.995", "100.005", "90"),
            ("1e2", "95", "105", "90"),
            ("5.40e-3", "0.005395", "0.005405", "0.00486"),
            ("-7.2", "-7.25", "-7.15", "-7.92"),
            ("0", "-0.5", "0.5", "-0.5"),
        ] {
            let written = Written::parse(text).unwrap();
            let number = |text| Decimal::parse(text).unwrap();
            assert_eq!(written.rounded(), (number(low), number(high)), "{text}");
            assert_eq!(written.approximate().0, number(near), "{text}");
        }
    }
}
