//! Conversion between UCUM units, for comparing quantities. <https://ucum.org/ucum>

use bigdecimal::num_bigint::BigInt;
use bigdecimal::{BigDecimal, RoundingMode, Zero};
use std::num::NonZeroU64;
use std::str::FromStr;

/// From one unit to another: `value * factor + offset`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Conversion {
    factor: BigDecimal,
    offset: BigDecimal,
}

/// The library's factors are binary: beyond this many digits they are noise.
const FACTOR_DIGITS: u64 = 14;
/// Converted values are rounded, so that 98.6 degrees Fahrenheit are 37 Celsius.
const RESULT_DIGITS: u64 = 12;
const CODE_BYTES_MAX: usize = 100;
/// Units on scales that are not linear: each is comparable with itself alone.
const CURVED: [&str; 4] = ["[pH]", "B", "Np", "bit_s"];

/// `None` when the units measure different things, or one of them is no UCUM.
pub(crate) fn conversion(from: &str, to: &str) -> Option<Conversion> {
    if from.len() > CODE_BYTES_MAX || to.len() > CODE_BYTES_MAX || is_curved(from) || is_curved(to)
    {
        return None;
    }
    let procedural = arbitrary(from);
    if procedural != arbitrary(to) {
        return None;
    }
    // The library leaves out prefixes of these units, and counts them as numbers: a unit of mass
    // in their place has neither fault.
    let plain = |code: &str| {
        let plain = |code: String, name: &&str| code.replace(*name, "g");
        procedural.iter().fold(code.to_owned(), plain)
    };
    let (a, b) = (
        ucum::analyze(&plain(from)).ok()?,
        ucum::analyze(&plain(to)).ok()?,
    );
    if a.dimension != b.dimension {
        return None;
    }
    let is_real = |n: f64| n.is_finite() && n.abs() > f64::MIN_POSITIVE;
    let (ratio, shift) = (a.factor / b.factor, (a.offset - b.offset) / b.factor);
    is_real(ratio).then_some(Conversion {
        factor: decimal(ratio)?,
        offset: decimal(shift)?,
    })
}

/// Units that are counted by procedure are comparable with the same unit only: international units
/// of two substances, or of a substance and a number, are not.
fn arbitrary(code: &str) -> Vec<&str> {
    let is_procedural =
        |name: &&str| name.ends_with("U]") || name.ends_with("'U]") || name.contains("unt");
    let inner = code.match_indices('[').filter_map(|(at, _)| {
        let rest = code.get(at..)?;
        rest.get(..=rest.find(']')?)
    });
    let mut names: Vec<&str> = inner.filter(is_procedural).collect();
    names.sort_unstable();
    names
}

fn is_curved(code: &str) -> bool {
    let stem = code.trim_start_matches(['d', 'm', 'c', 'k', 'u', 'n']);
    CURVED.contains(&stem) || code.starts_with("B[") || code.starts_with("dB[")
}

fn decimal(number: f64) -> Option<BigDecimal> {
    rounded(BigDecimal::try_from(number).ok()?, FACTOR_DIGITS)
}

fn rounded(number: BigDecimal, digits: u64) -> Option<BigDecimal> {
    let context = bigdecimal::Context::new(NonZeroU64::new(digits)?, RoundingMode::HalfEven);
    Some(
        number
            .with_precision_round(context.precision(), context.rounding_mode())
            .normalized(),
    )
}

impl Conversion {
    /// A decimal's text in the other unit.
    pub(crate) fn apply(&self, number: &str) -> Option<String> {
        let number = BigDecimal::from_str(number).ok()?;
        let is_scaling = self.offset.is_zero() && is_power_of_ten(&self.factor);
        let converted = number * &self.factor + &self.offset;
        let converted = match is_scaling {
            true => converted,
            false => rounded(converted, RESULT_DIGITS)?,
        };
        let (integer, scale) = converted.as_bigint_and_exponent();
        Some(format!("{integer}e{}", -scale))
    }
}

/// Then nothing is lost.
fn is_power_of_ten(factor: &BigDecimal) -> bool {
    factor.normalized().as_bigint_and_exponent().0 == BigInt::from(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &str, from: &str, to: &str, expected: Option<&str>) {
        let found = conversion(from, to).and_then(|c| c.apply(value));
        let number = |text: &str| BigDecimal::from_str(text).unwrap().normalized();
        assert_eq!(
            found.as_deref().map(number),
            expected.map(number),
            "{value} {from} in {to}: {found:?}"
        );
    }

    #[test]
    fn units_of_the_same_kind() {
        check("7.2", "g/dL", "g/L", Some("72"));
        check("7.2", "g/dL", "mg/L", Some("72000"));
        check("5.5", "mmol/L", "umol/L", Some("5500"));
        check("98.6", "[degF]", "Cel", Some("37"));
        check("37", "Cel", "[degF]", Some("98.6"));
        check("1", "[lb_av]", "kg", Some("0.45359237"));
        check("3", "10*3/uL", "10*9/L", Some("3"));
        check("3", "{cells}/uL", "/uL", Some("3"));
        check("2", "h", "min", Some("120"));
        check("1", "wk", "d", Some("7"));
        check("12", "m[IU]/mL", "[IU]/L", Some("12"));
        check("12", "u[IU]/mL", "m[IU]/L", Some("12"));
        check("12", "k[IU]/L", "[IU]/mL", Some("12"));
        check("0.5", "meq/L", "mmol/L", Some("0.5"));
        check("760", "mm[Hg]", "kPa", Some("101.32472"));
        check("72", "[in_i]", "cm", Some("182.88"));
        check("2", "a", "mo", Some("24"));
        check("1", "m3", "L", Some("1000"));
        check("50", "%", "1", Some("0.5"));
        check(
            "123456789012345678901234567890.5",
            "kg",
            "g",
            Some("123456789012345678901234567890500"),
        );
    }

    #[test]
    fn units_of_other_kinds() {
        for (from, to) in [
            ("g", "L"),
            ("[IU]/L", "/L"),
            ("[IU]", "[arb'U]"),
            ("[pH]", "mol/L"),
            ("furlong", "m"),
            ("", "m"),
            ("K/uL", "10*3/uL"),
        ] {
            check("1", from, to, None);
        }
    }
}
