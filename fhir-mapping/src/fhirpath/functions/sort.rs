//! `sort()`: by the items themselves or by keys, each upwards, or downwards with a `-` before it.
//! <https://build.fhir.org/ig/HL7/FHIRPath/#sort>

use super::super::evaluate::{Items, Run};
use super::super::expression::Expr;
use super::super::item::Item;
use super::super::operators::single;
use super::super::{Stop, compare};
use super::{Arguments, Call};
use std::cmp::Ordering;

/// Keys that a person would give.
pub(super) const ARGUMENTS: Arguments = Arguments::Count(0, 8);

/// What an item is sorted by, and in which direction.
type Key<'a> = (Option<Item<'a>>, bool);

pub(super) fn call<'a>(
    run: &mut Run<'a, '_>,
    input: Items<'a>,
    call: Call<'a, '_>,
) -> Result<Items<'a>, Stop> {
    let rounds = usize::try_from(input.len().max(2).ilog2()).unwrap_or(1);
    run.budget.spend(input.len().saturating_mul(rounds + 1))?;
    let mut keyed = Vec::with_capacity(input.len());
    for (index, item) in input.into_iter().enumerate() {
        keyed.push((keys(run, (index, &item), call)?, item));
    }
    let mut fault = None;
    keyed.sort_by(|(one, _), (two, _)| {
        let order = one.iter().zip(two).map(|(one, two)| by_key(one, two));
        for order in order {
            match order {
                Ok(Ordering::Equal) => {}
                Ok(order) => return order,
                Err(stop) => fault = Some(stop),
            }
        }
        Ordering::Equal
    });
    match fault {
        Some(stop) => Err(stop),
        None => Ok(keyed.into_iter().map(|(_, item)| item).collect()),
    }
}

fn keys<'a>(
    run: &mut Run<'a, '_>,
    (index, item): (usize, &Item<'a>),
    call: Call<'a, '_>,
) -> Result<Vec<Key<'a>>, Stop> {
    if call.arguments.is_empty() {
        return Ok(vec![(Some(item.clone()), false)]);
    }
    let mut keys = Vec::new();
    for argument in call.arguments {
        let (expr, is_down) = match argument {
            Expr::Minus(inner) => (&**inner, true),
            other => (other, false),
        };
        let local = call.local.on((index, item));
        let found = run.eval(expr, local)?;
        keys.push((single(&found, "a key of sort()")?.cloned(), is_down));
    }
    Ok(keys)
}

/// Nothing comes before everything.
fn by_key(one: &Key<'_>, two: &Key<'_>) -> Result<Ordering, Stop> {
    let order = match (&one.0, &two.0) {
        (Some(one), Some(two)) => compare::order(one, two)?.unwrap_or(Ordering::Equal),
        (one, two) => one.is_some().cmp(&two.is_some()),
    };
    Ok(if one.1 { order.reverse() } else { order })
}
