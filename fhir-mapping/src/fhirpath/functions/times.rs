//! Clock and precision: `now()` is given from outside (N1 5.8, and the boundaries).

use super::super::Stop;
use super::super::compare::decimal;
use super::super::evaluate::{Items, Run, count_item};
use super::super::item::{Item, Value};
use super::super::moment::{CLOCK_DIGITS, DATE_DIGITS, Moment, MomentKind};
use super::super::number::Quantity;
use super::super::operators::single;
use super::{Arguments, Call, one};
use bigdecimal::num_bigint::Sign;
use bigdecimal::{BigDecimal, RoundingMode};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fhirpath) enum Name {
    Now,
    Today,
    TimeOfDay,
    LowBoundary,
    HighBoundary,
    Precision,
}

pub(in crate::fhirpath) const NAMES: [(&str, Name, Arguments); 6] = [
    ("now", Name::Now, Arguments::NONE),
    ("today", Name::Today, Arguments::NONE),
    ("timeOfDay", Name::TimeOfDay, Arguments::NONE),
    ("lowBoundary", Name::LowBoundary, Arguments::Count(0, 1)),
    ("highBoundary", Name::HighBoundary, Arguments::Count(0, 1)),
    ("precision", Name::Precision, Arguments::NONE),
];

pub(in crate::fhirpath) fn call<'a>(
    run: &mut Run<'a, '_>,
    name: Name,
    input: Items<'a>,
    call: Call<'a, '_>,
) -> Result<Items<'a>, Stop> {
    let now = run.scope.now;
    match name {
        Name::Now => Ok(one(now.and_then(Moment::date_time).map(Value::Moment))),
        Name::Today => {
            let day = now.and_then(Moment::date_time).map(|m| m.to_date());
            Ok(one(day.map(Value::Moment)))
        }
        Name::TimeOfDay => {
            let clock = now.and_then(|n| n.split_once('T'));
            let clock = clock.and_then(|(_, c)| c.split(['Z', '+', '-']).next());
            Ok(one(clock.and_then(Moment::time).map(Value::Moment)))
        }
        Name::LowBoundary | Name::HighBoundary => {
            let digits = call.whole(run, 0)?;
            boundary(&input, (name == Name::LowBoundary, digits))
        }
        Name::Precision => precision(&input),
    }
}

/// The least or the greatest value that is meant, to so many digits.
fn boundary<'a>(
    input: &[Item<'a>],
    (is_low, digits): (bool, Option<i64>),
) -> Result<Items<'a>, Stop> {
    let Some(item) = single(input, "a boundary")? else {
        return Ok(Vec::new());
    };
    let number = |value: &BigDecimal| edge(value, is_low, digits.unwrap_or(EDGE_DIGITS));
    Ok(one(match item.value()? {
        Some(Value::Moment(moment)) => moment
            .boundary(is_low)
            .and_then(|edge| match digits {
                Some(digits) => edge.to_digits(digits),
                None => Some(edge),
            })
            .map(Value::Moment),
        Some(Value::Quantity(quantity)) => number(&quantity.value).map(|value| {
            let unit = quantity.unit;
            Value::Quantity(Quantity { value, unit })
        }),
        Some(value) => decimal(&value)
            .and_then(|value| number(&value))
            .map(Value::Decimal),
        None => None,
    }))
}

/// Digits behind the point that an edge has, and may have.
const EDGE_DIGITS: i64 = 8;
const EDGE_DIGITS_MAX: i64 = 28;

/// Half a unit of the last digit away, towards zero with the digits that are left when it is the
/// nearer edge, rounded when it is the farther one.
fn edge(value: &BigDecimal, is_low: bool, digits: i64) -> Option<BigDecimal> {
    if !(0..=EDGE_DIGITS_MAX).contains(&digits) {
        return None;
    }
    let half = BigDecimal::new(5.into(), value.fractional_digit_count() + 1);
    let (edge, is_nearer) = match is_low {
        true => (value - half, value.sign() != Sign::Minus),
        false => (value + half, value.sign() == Sign::Minus),
    };
    let mode = match is_nearer {
        true => RoundingMode::Down,
        false => RoundingMode::HalfUp,
    };
    Some(edge.with_scale_round(digits, mode))
}

/// Digits that are known.
fn precision<'a>(input: &[Item<'a>]) -> Result<Items<'a>, Stop> {
    let Some(item) = single(input, "precision()")? else {
        return Ok(Vec::new());
    };
    let digits = match item.value()? {
        Some(Value::Decimal(decimal)) => {
            usize::try_from(decimal.fractional_digit_count()).unwrap_or(0)
        }
        Some(Value::Integer(_)) => 0,
        Some(Value::Moment(moment)) => {
            let fields = match moment.kind {
                MomentKind::Time => CLOCK_DIGITS.as_slice(),
                _ => DATE_DIGITS.as_slice(),
            };
            let known = moment.known.saturating_sub(1);
            fields.get(known).copied().unwrap_or(0) + moment.fraction
        }
        _ => return Ok(Vec::new()),
    };
    Ok(vec![count_item(digits)])
}
