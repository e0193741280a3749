//! Decimals of any length within a bound, and quantities.

use bigdecimal::BigDecimal;
use std::cmp::Ordering;
use std::str::FromStr;

/// A value with a unit: a UCUM code, or a calendar word as `days`.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantity {
    pub value: BigDecimal,
    pub unit: String,
}

/// Digits and exponent beyond this cost more than any real value is worth.
const DIGITS_MAX: usize = 400;

/// A number within bounds.
pub(super) fn parse(text: &str) -> Option<BigDecimal> {
    let (digits, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().ok()?;
    let bound = i32::try_from(DIGITS_MAX).ok()?;
    if digits.len() > DIGITS_MAX || exponent.abs() > bound {
        return None;
    }
    BigDecimal::from_str(text).ok()
}

/// `None` when the result has outgrown the bound.
pub(super) fn bounded(value: BigDecimal) -> Option<BigDecimal> {
    let limit = u64::try_from(DIGITS_MAX).ok()?.saturating_mul(3);
    let scale = value.fractional_digit_count().unsigned_abs();
    (value.digits() <= limit && scale <= limit).then_some(value)
}

/// The words for calendar durations, singular and plural, to the plural.
pub(super) fn calendar_unit(word: &str) -> Option<&'static str> {
    Some(match word {
        "year" | "years" => "years",
        "month" | "months" => "months",
        "week" | "weeks" => "weeks",
        "day" | "days" => "days",
        "hour" | "hours" => "hours",
        "minute" | "minutes" => "minutes",
        "second" | "seconds" => "seconds",
        "millisecond" | "milliseconds" => "milliseconds",
        _ => return None,
    })
}

/// Text of a decimal as FHIRPath shows it: no exponent.
pub(super) fn text(value: &BigDecimal) -> String {
    value.to_plain_string()
}

impl Quantity {
    /// Which is more; `None` when the units cannot be compared.
    pub(super) fn order(&self, other: &Quantity) -> Option<Ordering> {
        if self.code() == other.code() {
            return Some(self.value.cmp(&other.value));
        }
        let (one, two) = (metric(self.code())?, metric(other.code())?);
        if one.0 != two.0 {
            return None;
        }
        let factor = |text: &str| BigDecimal::from_str(text).ok();
        let left = &self.value * factor(one.1)?;
        let right = &other.value * factor(two.1)?;
        Some(left.cmp(&right))
    }

    /// Weeks and shorter calendar durations are UCUM's; months and years are not.
    pub(super) fn code(&self) -> &str {
        match calendar_unit(&self.unit) {
            Some("weeks") => "wk",
            Some("days") => "d",
            Some("hours") => "h",
            Some("minutes") => "min",
            Some("seconds") => "s",
            Some("milliseconds") => "ms",
            _ => &self.unit,
        }
    }
}

/// Dimension and factor of the units that expressions compare across.
fn metric(code: &str) -> Option<(&'static str, &'static str)> {
    Some(match code {
        "kg" => ("mass", "1000"),
        "g" => ("mass", "1"),
        "mg" => ("mass", "0.001"),
        "ug" => ("mass", "0.000001"),
        "ng" => ("mass", "0.000000001"),
        "[lb_av]" => ("mass", "453.59237"),
        "[oz_av]" => ("mass", "28.349523125"),
        "km" => ("length", "1000"),
        "m" => ("length", "1"),
        "cm" => ("length", "0.01"),
        "mm" => ("length", "0.001"),
        "um" => ("length", "0.000001"),
        "[in_i]" => ("length", "0.0254"),
        "[ft_i]" => ("length", "0.3048"),
        "L" | "l" => ("volume", "1"),
        "dL" => ("volume", "0.1"),
        "mL" | "ml" => ("volume", "0.001"),
        "uL" => ("volume", "0.000001"),
        "wk" => ("time", "604800"),
        "d" => ("time", "86400"),
        "h" => ("time", "3600"),
        "min" => ("time", "60"),
        "s" => ("time", "1"),
        "ms" => ("time", "0.001"),
        _ => return None,
    })
}
