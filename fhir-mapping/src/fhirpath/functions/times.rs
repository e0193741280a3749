//! Clock and precision: `now()` is given from outside (N1 5.8, and the boundaries).

use super::super::Stop;
use super::super::evaluate::{Items, Run, count_item};
use super::super::item::{Item, Value};
use super::super::moment::{Moment, MomentKind};
use super::super::operators::single;
use super::{Arguments, one};
use bigdecimal::BigDecimal;

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
    ("lowBoundary", Name::LowBoundary, Arguments::NONE),
    ("highBoundary", Name::HighBoundary, Arguments::NONE),
    ("precision", Name::Precision, Arguments::NONE),
];

pub(in crate::fhirpath) fn call<'a>(
    run: &mut Run<'a, '_>,
    name: Name,
    input: Items<'a>,
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
        Name::LowBoundary | Name::HighBoundary => boundary(&input, name == Name::LowBoundary),
        Name::Precision => precision(&input),
    }
}

fn boundary<'a>(input: &[Item<'a>], is_low: bool) -> Result<Items<'a>, Stop> {
    let Some(item) = single(input, "a boundary")? else {
        return Ok(Vec::new());
    };
    Ok(one(match item.value()? {
        Some(Value::Moment(moment)) => moment.boundary(is_low).map(Value::Moment),
        Some(Value::Decimal(decimal)) => Some(Value::Decimal(edge(&decimal, is_low))),
        Some(Value::Integer(whole)) => Some(Value::Integer(whole)),
        _ => None,
    }))
}

/// Half a unit of the last digit away.
fn edge(decimal: &BigDecimal, is_low: bool) -> BigDecimal {
    let half = BigDecimal::new(5.into(), decimal.fractional_digit_count() + 1);
    if is_low {
        decimal - half
    } else {
        decimal + half
    }
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
                MomentKind::Time => [2, 4, 6].as_slice(),
                _ => [4, 6, 8, 10, 12, 14].as_slice(),
            };
            let known = moment.known.saturating_sub(1);
            fields.get(known).copied().unwrap_or(0) + moment.fraction
        }
        _ => return Ok(Vec::new()),
    };
    Ok(vec![count_item(digits)])
}
