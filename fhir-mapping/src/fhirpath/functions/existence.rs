//! Existence (N1 5.1).

use super::super::Stop;
use super::super::compare::Set;
use super::super::evaluate::{Items, Run, as_type, count_item};
use super::super::item::{Item, Value, truth};
use super::super::types::TypeName;
use super::{Arguments, Call};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fhirpath) enum Name {
    Empty,
    Exists,
    All,
    AllTrue,
    AnyTrue,
    AllFalse,
    AnyFalse,
    SubsetOf,
    SupersetOf,
    Count,
    Distinct,
    IsDistinct,
    Not,
    HasValue,
    Is,
    As,
}

pub(in crate::fhirpath) const NAMES: [(&str, Name, Arguments); 16] = [
    ("empty", Name::Empty, Arguments::NONE),
    ("exists", Name::Exists, Arguments::Count(0, 1)),
    ("all", Name::All, Arguments::ONE),
    ("allTrue", Name::AllTrue, Arguments::NONE),
    ("anyTrue", Name::AnyTrue, Arguments::NONE),
    ("allFalse", Name::AllFalse, Arguments::NONE),
    ("anyFalse", Name::AnyFalse, Arguments::NONE),
    ("subsetOf", Name::SubsetOf, Arguments::ONE),
    ("supersetOf", Name::SupersetOf, Arguments::ONE),
    ("count", Name::Count, Arguments::NONE),
    ("distinct", Name::Distinct, Arguments::NONE),
    ("isDistinct", Name::IsDistinct, Arguments::NONE),
    ("not", Name::Not, Arguments::NONE),
    ("hasValue", Name::HasValue, Arguments::NONE),
    ("is", Name::Is, Arguments::Type),
    ("as", Name::As, Arguments::Type),
];

pub(in crate::fhirpath) fn call<'a>(
    run: &mut Run<'a, '_>,
    name: Name,
    input: Items<'a>,
    call: Call<'a, '_>,
) -> Result<Items<'a>, Stop> {
    let answer = match name {
        Name::Empty => input.is_empty(),
        Name::Exists if call.arguments.is_empty() => !input.is_empty(),
        Name::Exists => any(run, &input, call)?,
        Name::All => all(run, &input, call)?,
        Name::AllTrue => !bools(&input)?.contains(&false),
        Name::AnyTrue => bools(&input)?.contains(&true),
        Name::AllFalse => !bools(&input)?.contains(&true),
        Name::AnyFalse => bools(&input)?.contains(&false),
        Name::SubsetOf => {
            let other = call.items(run, 0)?;
            is_subset(run, &input, &other)?
        }
        Name::SupersetOf => {
            let other = call.items(run, 0)?;
            is_subset(run, &other, &input)?
        }
        Name::Count => return Ok(vec![count_item(input.len())]),
        Name::Distinct => return distinct(run, input),
        Name::IsDistinct => {
            let count = input.len();
            distinct(run, input)?.len() == count
        }
        Name::Not => {
            let answer = truth(&input, "not()")?;
            return Ok(answer.map(|a| Item::bool(!a)).into_iter().collect());
        }
        Name::HasValue => match input.as_slice() {
            [Item::Node(node)] => node.json().is_some_and(|j| j.as_object().is_none()),
            [Item::Value(_)] => true,
            _ => false,
        },
        Name::Is => return typed(&input, call.type_name()),
        Name::As => {
            let name = call.type_name();
            return name.map_or(Ok(Vec::new()), |name| as_type(input, name));
        }
    };
    Ok(vec![Item::bool(answer)])
}

fn typed<'a>(input: &[Item<'a>], name: Option<&TypeName>) -> Result<Items<'a>, Stop> {
    name.map_or(Ok(Vec::new()), |name| {
        super::super::evaluate::is(input, name)
    })
}

fn any<'a>(run: &mut Run<'a, '_>, input: &[Item<'a>], call: Call<'a, '_>) -> Result<bool, Stop> {
    for item in input.iter().enumerate() {
        let found = call.each(run, 0, item)?;
        if truth(&found, "exists()")? == Some(true) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn all<'a>(run: &mut Run<'a, '_>, input: &[Item<'a>], call: Call<'a, '_>) -> Result<bool, Stop> {
    for item in input.iter().enumerate() {
        let found = call.each(run, 0, item)?;
        if truth(&found, "all()")? != Some(true) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn bools(input: &[Item<'_>]) -> Result<Vec<bool>, Stop> {
    let bool = |item: &Item<'_>| match item.value()? {
        Some(Value::Bool(value)) => Ok(value),
        _ => Err(Stop::Type("a function of truth values")),
    };
    input.iter().map(bool).collect()
}

fn is_subset<'a>(
    run: &mut Run<'a, '_>,
    part: &[Item<'a>],
    whole: &[Item<'a>],
) -> Result<bool, Stop> {
    let set = Set::of(whole, run.budget)?;
    for item in part {
        if !set.contains(item, run.budget)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The items, each once, in order.
pub(super) fn distinct<'a>(run: &mut Run<'a, '_>, items: Items<'a>) -> Result<Items<'a>, Stop> {
    let mut set = Set::default();
    let mut kept = Vec::new();
    for item in items {
        if set.insert(&item, run.budget)? {
            kept.push(item);
        }
    }
    Ok(kept)
}
