//! SampledData (R4 2.24.0.11) as the range of what was measured: its limits, or its least and
//! greatest sample.

use super::quantity::{Amount, amount_of};
use crate::model::Json;
use bigdecimal::BigDecimal;
use std::str::FromStr;

/// More samples are not looked at; the limits then serve.
const SAMPLES_MAX: usize = 100_000;
const NUMBER_BYTES_MAX: usize = 40;

/// `None` when neither samples nor limits tell.
pub(super) fn range(value: &Json) -> Option<Amount> {
    let unit = amount_of(value.get("origin")?);
    let number = |key| value.get(key).and_then(Json::as_number).and_then(read);
    let origin = unit.low.as_deref().and_then(read).unwrap_or_default();
    let factor = number("factor").unwrap_or_else(|| BigDecimal::from(1));
    let real = |sample: BigDecimal| origin.clone() + sample * factor.clone();
    let (least, greatest) =
        samples(value).or_else(|| Some((number("lowerLimit")?, number("upperLimit")?)))?;
    let ends = [real(least), real(greatest)];
    let text = |end: Option<&BigDecimal>| end.map(|n| n.normalized().to_plain_string());
    Some(Amount {
        low: text(ends.iter().min()),
        high: text(ends.iter().max()),
        ..unit
    })
}

/// The least and the greatest number of `data`. `E`, `U`, `L` stand for no number, below and above.
fn samples(value: &Json) -> Option<(BigDecimal, BigDecimal)> {
    let mut limits: Option<(BigDecimal, BigDecimal)> = None;
    let data = value.get("data").and_then(Json::as_str)?;
    for sample in data.split_whitespace().take(SAMPLES_MAX).filter_map(read) {
        limits = Some(match limits {
            None => (sample.clone(), sample),
            Some((least, greatest)) => (least.min(sample.clone()), greatest.max(sample)),
        });
    }
    limits
}

fn read(text: &str) -> Option<BigDecimal> {
    let is_plain = text.len() <= NUMBER_BYTES_MAX && !text.contains(['e', 'E']);
    is_plain.then(|| BigDecimal::from_str(text).ok())?
}
