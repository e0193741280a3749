//! Filtering, projection and control (N1 5.2, 5.5, 5.7, 7).

use super::super::Stop;
use super::super::compare::Set;
use super::super::evaluate::{Items, Local, Run, of_type};
use super::super::item::{Item, truth};
use super::{Arguments, Call};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fhirpath) enum Name {
    Where,
    Select,
    Repeat,
    OfType,
    Iif,
    Trace,
    Aggregate,
    Children,
    Descendants,
}

pub(in crate::fhirpath) const NAMES: [(&str, Name, Arguments); 9] = [
    ("where", Name::Where, Arguments::Count(1, 1)),
    ("select", Name::Select, Arguments::Count(1, 1)),
    ("repeat", Name::Repeat, Arguments::Count(1, 1)),
    ("ofType", Name::OfType, Arguments::Type),
    ("iif", Name::Iif, Arguments::Count(2, 3)),
    ("trace", Name::Trace, Arguments::Count(1, 2)),
    ("aggregate", Name::Aggregate, Arguments::Count(1, 2)),
    ("children", Name::Children, Arguments::Count(0, 0)),
    ("descendants", Name::Descendants, Arguments::Count(0, 0)),
];

pub(in crate::fhirpath) fn call<'a>(
    run: &mut Run<'a, '_>,
    name: Name,
    input: Items<'a>,
    call: Call<'a, '_>,
) -> Result<Items<'a>, Stop> {
    match name {
        Name::Where => {
            let mut kept = Vec::new();
            for (index, item) in input.into_iter().enumerate() {
                let found = call.each(run, 0, (index, &item))?;
                if truth(&found, "where()")? == Some(true) {
                    kept.push(item);
                }
            }
            Ok(kept)
        }
        Name::Select => {
            let mut found = Vec::new();
            for item in input.iter().enumerate() {
                found.extend(call.each(run, 0, item)?);
                run.budget.spend(1)?;
            }
            Ok(found)
        }
        Name::Repeat => repeat(run, input, call),
        Name::OfType => match call.type_name() {
            Some(name) => of_type(input, name),
            None => Ok(Vec::new()),
        },
        Name::Iif => iif(run, &input, call),
        Name::Trace => Ok(input),
        Name::Aggregate => aggregate(run, &input, call),
        Name::Children => run.children(&input),
        Name::Descendants => run.descendants(&input),
    }
}

/// Projects again and again, each new item once.
fn repeat<'a>(
    run: &mut Run<'a, '_>,
    input: Items<'a>,
    call: Call<'a, '_>,
) -> Result<Items<'a>, Stop> {
    let mut seen = Set::default();
    let mut found: Items<'a> = Vec::new();
    let mut open = input;
    while !open.is_empty() {
        let mut next = Vec::new();
        for item in open.iter().enumerate() {
            for result in call.each(run, 0, item)? {
                if seen.insert(&result, run.budget)? {
                    next.push(result);
                }
            }
        }
        found.extend(next.iter().cloned());
        open = next;
    }
    Ok(found)
}

fn iif<'a>(
    run: &mut Run<'a, '_>,
    input: &[Item<'a>],
    call: Call<'a, '_>,
) -> Result<Items<'a>, Stop> {
    if input.len() > 1 {
        return Err(Stop::Several("iif()"));
    }
    let local = Local {
        this: input,
        ..call.local
    };
    // Without a target the call stands where the path stands.
    let condition = match call.arguments.first() {
        Some(condition) => run.eval(condition, local)?,
        None => Vec::new(),
    };
    let holds = truth(&condition, "iif()")? == Some(true);
    match call.arguments.get(if holds { 1 } else { 2 }) {
        Some(branch) => run.eval(branch, local),
        None => Ok(Vec::new()),
    }
}

fn aggregate<'a>(
    run: &mut Run<'a, '_>,
    input: &[Item<'a>],
    call: Call<'a, '_>,
) -> Result<Items<'a>, Stop> {
    let mut total = call.items(run, 1)?;
    let Some(step) = call.arguments.first() else {
        return Ok(total);
    };
    for (index, item) in input.iter().enumerate() {
        let local = Local {
            this: std::slice::from_ref(item),
            index: Some(index),
            total: Some(&total),
        };
        total = run.eval(step, local)?;
    }
    Ok(total)
}
