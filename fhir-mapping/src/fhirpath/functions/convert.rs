//! Conversions (N1 5.5): `toX()` is empty where `convertsToX()` is false.

use super::super::Stop;
use super::super::evaluate::{Items, Run};
use super::super::item::{Item, Value};
use super::super::moment::{Moment, MomentKind};
use super::super::number::{self, Quantity};
use super::super::operators::single;
use super::{Arguments, Call, one};
use bigdecimal::BigDecimal;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fhirpath) enum Name {
    To(Target),
    ConvertsTo(Target),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fhirpath) enum Target {
    Boolean,
    Integer,
    Decimal,
    Text,
    Date,
    DateTime,
    Time,
    Quantity,
}

const UNIT: Arguments = Arguments::Count(0, 1);

pub(in crate::fhirpath) const NAMES: [(&str, Name, Arguments); 16] = [
    ("toBoolean", Name::To(Target::Boolean), Arguments::NONE),
    ("toInteger", Name::To(Target::Integer), Arguments::NONE),
    ("toDecimal", Name::To(Target::Decimal), Arguments::NONE),
    ("toString", Name::To(Target::Text), Arguments::NONE),
    ("toDate", Name::To(Target::Date), Arguments::NONE),
    ("toDateTime", Name::To(Target::DateTime), Arguments::NONE),
    ("toTime", Name::To(Target::Time), Arguments::NONE),
    ("toQuantity", Name::To(Target::Quantity), UNIT),
    (
        "convertsToBoolean",
        Name::ConvertsTo(Target::Boolean),
        Arguments::NONE,
    ),
    (
        "convertsToInteger",
        Name::ConvertsTo(Target::Integer),
        Arguments::NONE,
    ),
    (
        "convertsToDecimal",
        Name::ConvertsTo(Target::Decimal),
        Arguments::NONE,
    ),
    (
        "convertsToString",
        Name::ConvertsTo(Target::Text),
        Arguments::NONE,
    ),
    (
        "convertsToDate",
        Name::ConvertsTo(Target::Date),
        Arguments::NONE,
    ),
    (
        "convertsToDateTime",
        Name::ConvertsTo(Target::DateTime),
        Arguments::NONE,
    ),
    (
        "convertsToTime",
        Name::ConvertsTo(Target::Time),
        Arguments::NONE,
    ),
    (
        "convertsToQuantity",
        Name::ConvertsTo(Target::Quantity),
        UNIT,
    ),
];

pub(in crate::fhirpath) fn call<'a>(
    run: &mut Run<'a, '_>,
    name: Name,
    input: Items<'a>,
    call: Call<'a, '_>,
) -> Result<Items<'a>, Stop> {
    let Some(item) = single(&input, "a conversion")? else {
        return Ok(Vec::new());
    };
    let value = item.value()?;
    let target = match name {
        Name::To(target) | Name::ConvertsTo(target) => target,
    };
    let mut converted = value.and_then(|value| convert(value, target));
    if let Some(unit) = call.text(run, 0)? {
        converted = converted.and_then(|value| in_unit(&value, &unit));
    }
    Ok(match name {
        Name::To(_) => one(converted),
        Name::ConvertsTo(_) => vec![Item::bool(converted.is_some())],
    })
}

fn in_unit<'a>(value: &Value<'a>, unit: &str) -> Option<Value<'a>> {
    let Value::Quantity(quantity) = value else {
        return None;
    };
    let mut wanted = Quantity::plain(BigDecimal::from(0));
    wanted.unit = unit.to_owned();
    wanted.value = quantity.converted(wanted.code())?;
    Some(Value::Quantity(wanted))
}

fn convert(value: Value<'_>, target: Target) -> Option<Value<'_>> {
    match target {
        Target::Boolean => boolean(&value).map(Value::Bool),
        Target::Integer => match value {
            Value::Integer(whole) => Some(Value::Integer(whole)),
            Value::Bool(value) => Some(Value::Integer(i64::from(value))),
            Value::Text(text) => text.parse().ok().map(Value::Integer),
            _ => None,
        },
        Target::Decimal => match value {
            Value::Integer(whole) => Some(Value::Decimal(BigDecimal::from(whole))),
            Value::Decimal(decimal) => Some(Value::Decimal(decimal)),
            Value::Bool(value) => Some(Value::Decimal(BigDecimal::from(i64::from(value)))),
            Value::Text(text) => plain_number(&text).map(Value::Decimal),
            _ => None,
        },
        Target::Text => text(value),
        Target::Date => match value {
            Value::Moment(m) if m.kind != MomentKind::Time => Some(Value::Moment(m.to_date())),
            Value::Text(text) => Moment::date(&text)
                .or_else(|| Moment::date_time(&text).map(|m| m.to_date()))
                .map(Value::Moment),
            _ => None,
        },
        Target::DateTime => match value {
            Value::Moment(m) if m.kind != MomentKind::Time => Some(Value::Moment(m.to_date_time())),
            Value::Text(text) => Moment::date_time(&text).map(Value::Moment),
            _ => None,
        },
        Target::Time => match value {
            Value::Moment(m) if m.kind == MomentKind::Time => Some(Value::Moment(m)),
            Value::Text(text) => Moment::time(&text).map(Value::Moment),
            _ => None,
        },
        Target::Quantity => quantity(value).map(Value::Quantity),
    }
}

fn boolean(value: &Value<'_>) -> Option<bool> {
    let one = BigDecimal::from(1);
    let zero = BigDecimal::from(0);
    match value {
        Value::Bool(value) => Some(*value),
        Value::Integer(1) => Some(true),
        Value::Integer(0) => Some(false),
        Value::Decimal(decimal) if *decimal == one => Some(true),
        Value::Decimal(decimal) if *decimal == zero => Some(false),
        Value::Text(text) => match text.to_lowercase().as_str() {
            "true" | "t" | "yes" | "y" | "1" | "1.0" => Some(true),
            "false" | "f" | "no" | "n" | "0" | "0.0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn text(value: Value<'_>) -> Option<Value<'_>> {
    let text = match value {
        Value::Text(_) => return Some(value),
        Value::Bool(value) => value.to_string(),
        Value::Integer(whole) => whole.to_string(),
        Value::Decimal(decimal) => number::text(&decimal),
        Value::Moment(moment) => moment.text(),
        Value::Quantity(quantity) => {
            let number = number::text(&quantity.value);
            match number::calendar_unit(&quantity.unit) {
                Some(_) => format!("{number} {}", quantity.unit),
                None => format!("{number} '{}'", quantity.unit),
            }
        }
        Value::Type(..) => return None,
    };
    Some(Value::Text(text.into()))
}

/// Digits with a sign and a fraction, no exponent.
fn plain_number(text: &str) -> Option<BigDecimal> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    (all_digits(whole) && all_digits(fraction)).then(|| number::parse(text))?
}

fn quantity(value: Value<'_>) -> Option<Quantity> {
    match value {
        Value::Quantity(quantity) => Some(quantity),
        Value::Integer(whole) => Some(Quantity::plain(BigDecimal::from(whole))),
        Value::Decimal(decimal) => Some(Quantity::plain(decimal)),
        Value::Bool(value) => Some(Quantity::plain(BigDecimal::from(i64::from(value)))),
        Value::Text(text) => {
            let Some((number, unit)) = text.split_once(' ') else {
                return plain_number(&text).map(Quantity::plain);
            };
            let quoted = unit.strip_prefix('\'').and_then(|u| u.strip_suffix('\''));
            let unit = match quoted {
                Some(code) => code.to_owned(),
                None => number::calendar_unit(unit).map(|_plural| unit.to_owned())?,
            };
            let value = plain_number(number)?;
            Some(Quantity { value, unit })
        }
        _ => None,
    }
}
