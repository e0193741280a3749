//! Decimals of any length within a bound, and quantities.

use crate::terminology::measure;
use bigdecimal::BigDecimal;
use std::cmp::Ordering;
use std::str::FromStr;

/// A value with a unit: a UCUM code, or a calendar word as written: `day`, `days`.
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
    /// A number without a unit.
    pub(super) fn plain(value: BigDecimal) -> Quantity {
        let unit = "1".to_owned();
        Quantity { value, unit }
    }

    /// Which is more; `None` when the units cannot be compared.
    pub(super) fn order(&self, other: &Quantity) -> Option<Ordering> {
        Some(self.value.cmp(&other.converted(self.code())?))
    }

    /// Whether both are the same in the larger unit, as far as the one that is known less tells.
    pub(super) fn is_equivalent(&self, other: &Quantity) -> bool {
        let (one, two) = (self.in_ucum(), other.in_ucum());
        let (larger, smaller) = match one.is_larger_unit(&two) {
            Some(true) => (one, two),
            Some(false) => (two, one),
            None => return false,
        };
        let converted = smaller.converted(larger.code());
        converted.is_some_and(|value| is_equivalent(&larger.value, &value))
    }

    /// Whether the unit is at least as large as the other's; `None` when they do not compare.
    fn is_larger_unit(&self, other: &Quantity) -> Option<bool> {
        let one = Quantity {
            value: BigDecimal::from(1),
            unit: self.unit.clone(),
        };
        Some(one.converted(other.code())? >= one.value)
    }

    /// Months and years as the means that UCUM has for them: equivalent, never equal.
    fn in_ucum(&self) -> Quantity {
        let unit = match self.code() {
            "years" => "a",
            "months" => "mo",
            code => code,
        };
        Quantity {
            value: self.value.clone(),
            unit: unit.to_owned(),
        }
    }

    /// The value in another unit; `None` when that measures something else, or is not known.
    pub(super) fn converted(&self, code: &str) -> Option<BigDecimal> {
        let from = self.code();
        match (from, code) {
            _ if from == code => return Some(self.value.clone()),
            ("years", "months") => return bounded(&self.value * BigDecimal::from(12)),
            ("months", "years") => return bounded(&self.value / BigDecimal::from(12)),
            _ => {}
        }
        let text = self.value.to_scientific_notation();
        parse(&measure::conversion(from, code)?.apply(&text)?)
    }

    /// The sum in the smaller of both units.
    pub(super) fn plus(&self, other: &Quantity) -> Option<Quantity> {
        let (kept, moved) = match self.is_larger_unit(other)? && self.code() != other.code() {
            true => (other, self),
            false => (self, other),
        };
        let value = bounded(&kept.value + moved.converted(kept.code())?)?;
        let unit = kept.unit.clone();
        Some(Quantity { value, unit })
    }

    /// The unit of the product (`.`) or the quotient (`/`) of two quantities.
    pub(super) fn joined_unit(&self, sign: char, other: &Quantity) -> String {
        let grouped = |code: &str| match code.contains(['.', '/']) {
            true => format!("({code})"),
            false => code.to_owned(),
        };
        let (one, two) = (self.code(), other.code());
        match sign {
            _ if two == "1" => one.to_owned(),
            '.' if one == "1" => two.to_owned(),
            '/' if one == two => "1".to_owned(),
            _ => format!("{}{sign}{}", grouped(one), grouped(two)),
        }
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
            Some(long) => long,
            None => &self.unit,
        }
    }
}

/// Equal as far as both are known (N1 6.1.2).
pub(super) fn is_equivalent(one: &BigDecimal, two: &BigDecimal) -> bool {
    let scale = one
        .fractional_digit_count()
        .min(two.fractional_digit_count());
    one.round(scale) == two.round(scale)
}
