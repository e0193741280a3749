//! Equality as `test` has it (RFC 6902 4.6): numbers by value, objects whatever their order.

use crate::model::Json;

pub(super) fn is_equal(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => a == b || magnitude(a) == magnitude(b),
        (Json::Array(a), Json::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_equal(a, b))
        }
        (Json::Object(a), Json::Object(b)) if a.len() == b.len() => {
            let (mut a, mut b): (Vec<_>, Vec<_>) = (a.iter().collect(), b.iter().collect());
            a.sort_by_key(|(name, _)| *name);
            b.sort_by_key(|(name, _)| *name);
            let mut members = a.into_iter().zip(b);
            members.all(|((name, a), (other, b))| name == other && is_equal(a, b))
        }
        (Json::Object(_), Json::Object(_)) => false,
        _ => a == b,
    }
}

/// Sign, digits without zeros at either end, and the power of ten of the last digit: one for each
/// value. `None` for an exponent beyond reason, which then equals by its text only.
fn magnitude(text: &str) -> Option<(bool, String, i64)> {
    let (is_negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let kept = digits.trim_end_matches('0');
    if kept.is_empty() {
        return Some((false, String::new(), 0));
    }
    let dropped = i64::try_from(digits.len() - kept.len()).ok()?;
    let scale = i64::try_from(fraction.len()).ok()?;
    let power = exponent.checked_sub(scale)?.checked_add(dropped)?;
    Some((is_negative, kept.to_owned(), power))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_equal_by_value() {
        let equal = |a: &str, b: &str| is_equal(&Json::Number(a.into()), &Json::Number(b.into()));
        for (a, b) in [
            ("1", "1.00"),
            ("100", "1e2"),
            ("0", "-0.0"),
            ("0.5", "5E-1"),
            ("1234567890.1234567890", "1234567890.123456789"),
        ] {
            assert!(equal(a, b), "{a} {b}");
        }
        for (a, b) in [
            ("1", "-1"),
            ("1", "10"),
            ("0.1", "0.10000000000000000001"),
            ("1e99999999999999999999", "1"),
        ] {
            assert!(!equal(a, b), "{a} {b}");
        }
    }
}
