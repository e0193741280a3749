//! Mathematics (N1 standard for trial use).

use super::super::Stop;
use super::super::compare::decimal;
use super::super::evaluate::{Items, Run};
use super::super::item::Value;
use super::super::number::{self, Quantity};
use super::super::operators::single;
use super::{Arguments, Call, one};
use bigdecimal::{BigDecimal, FromPrimitive, RoundingMode, ToPrimitive};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fhirpath) enum Name {
    Abs,
    Ceiling,
    Floor,
    Truncate,
    Round,
    Sqrt,
    Exp,
    Ln,
    Log,
    Power,
}

pub(in crate::fhirpath) const NAMES: [(&str, Name, Arguments); 10] = [
    ("abs", Name::Abs, Arguments::NONE),
    ("ceiling", Name::Ceiling, Arguments::NONE),
    ("floor", Name::Floor, Arguments::NONE),
    ("truncate", Name::Truncate, Arguments::NONE),
    ("round", Name::Round, Arguments::Count(0, 1)),
    ("sqrt", Name::Sqrt, Arguments::NONE),
    ("exp", Name::Exp, Arguments::NONE),
    ("ln", Name::Ln, Arguments::NONE),
    ("log", Name::Log, Arguments::ONE),
    ("power", Name::Power, Arguments::ONE),
];

pub(in crate::fhirpath) fn call<'a>(
    run: &mut Run<'a, '_>,
    name: Name,
    input: Items<'a>,
    call: Call<'a, '_>,
) -> Result<Items<'a>, Stop> {
    let who = "a function of numbers";
    let Some(item) = single(&input, who)? else {
        return Ok(Vec::new());
    };
    let value = item.value()?.ok_or(Stop::Type(who))?;
    if let (Name::Abs, Value::Quantity(quantity)) = (name, &value) {
        return Ok(one(Some(Value::Quantity(Quantity {
            value: quantity.value.abs(),
            unit: quantity.unit.clone(),
        }))));
    }
    let subject = decimal(&value).ok_or(Stop::Type(who))?;
    let argument = call.items(run, 0)?;
    let argument = match single(&argument, who)? {
        Some(item) => item.value()?.and_then(|v| decimal(&v)),
        None => None,
    };
    let to_whole = |mode| {
        subject
            .with_scale_round(0, mode)
            .to_i64()
            .map(Value::Integer)
    };
    let result = match name {
        Name::Abs => match value {
            Value::Integer(whole) => whole.checked_abs().map(Value::Integer),
            _ => Some(Value::Decimal(subject.abs())),
        },
        Name::Ceiling => to_whole(RoundingMode::Ceiling),
        Name::Floor => to_whole(RoundingMode::Floor),
        Name::Truncate => to_whole(RoundingMode::Down),
        Name::Round => {
            let digits = argument.and_then(|a| a.to_i64()).unwrap_or(0);
            let digits = digits.clamp(0, 100);
            let rounded = subject.with_scale_round(digits, RoundingMode::HalfUp);
            Some(Value::Decimal(rounded))
        }
        Name::Power if argument.is_none() => None,
        Name::Log if argument.is_none() => None,
        _ => transcendental(name, &subject, argument.as_ref()).map(Value::Decimal),
    };
    Ok(one(result))
}

/// To the precision of a double; a whole power is exact.
fn transcendental(
    name: Name,
    subject: &BigDecimal,
    argument: Option<&BigDecimal>,
) -> Option<BigDecimal> {
    if name == Name::Power
        && let Some(exponent) = argument.filter(|a| a.is_integer()).and_then(|a| a.to_i64())
        && (0..=64).contains(&exponent)
    {
        let mut product = BigDecimal::from(1);
        for _ in 0..exponent {
            product = number::bounded(product * subject)?;
        }
        return Some(product);
    }
    let (subject, argument) = (subject.to_f64()?, argument.and_then(ToPrimitive::to_f64));
    let result = match name {
        Name::Sqrt => subject.sqrt(),
        Name::Exp => subject.exp(),
        Name::Ln => subject.ln(),
        Name::Log => subject.ln() / argument?.ln(),
        _ => subject.powf(argument?),
    };
    let result = result.is_finite().then(|| BigDecimal::from_f64(result))??;
    number::bounded(
        result
            .with_scale_round(15, RoundingMode::HalfUp)
            .normalized(),
    )
}
