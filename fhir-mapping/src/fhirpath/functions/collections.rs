//! Parts of collections and their combination (N1 5.3, 5.4).

use super::super::Stop;
use super::super::compare::Set;
use super::super::evaluate::{Items, Run};
use super::existence::distinct;
use super::{Arguments, Call};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fhirpath) enum Name {
    Single,
    First,
    Last,
    Tail,
    Skip,
    Take,
    Intersect,
    Exclude,
    Union,
    Combine,
}

pub(in crate::fhirpath) const NAMES: [(&str, Name, Arguments); 10] = [
    ("single", Name::Single, Arguments::NONE),
    ("first", Name::First, Arguments::NONE),
    ("last", Name::Last, Arguments::NONE),
    ("tail", Name::Tail, Arguments::NONE),
    ("skip", Name::Skip, Arguments::ONE),
    ("take", Name::Take, Arguments::ONE),
    ("intersect", Name::Intersect, Arguments::ONE),
    ("exclude", Name::Exclude, Arguments::ONE),
    ("union", Name::Union, Arguments::ONE),
    ("combine", Name::Combine, Arguments::ONE),
];

pub(in crate::fhirpath) fn call<'a>(
    run: &mut Run<'a, '_>,
    name: Name,
    mut input: Items<'a>,
    call: Call<'a, '_>,
) -> Result<Items<'a>, Stop> {
    match name {
        Name::Single if input.len() > 1 => Err(Stop::Several("single()")),
        Name::Single => Ok(input),
        Name::First => {
            input.truncate(1);
            Ok(input)
        }
        Name::Last => Ok(input.pop().into_iter().collect()),
        Name::Tail => Ok(input.into_iter().skip(1).collect()),
        Name::Skip => {
            let count = call.whole(run, 0)?.unwrap_or(0);
            let count = usize::try_from(count).unwrap_or(0);
            Ok(input.into_iter().skip(count).collect())
        }
        Name::Take => {
            let count = call.whole(run, 0)?.unwrap_or(0);
            input.truncate(usize::try_from(count).unwrap_or(0));
            Ok(input)
        }
        Name::Intersect | Name::Exclude => {
            let other = call.items(run, 0)?;
            let other = Set::of(&other, run.budget)?;
            let wanted = name == Name::Intersect;
            let mut kept = Vec::new();
            for item in input {
                if other.contains(&item, run.budget)? == wanted {
                    kept.push(item);
                }
            }
            if wanted {
                distinct(run, kept)
            } else {
                Ok(kept)
            }
        }
        Name::Union => {
            let other = call.items(run, 0)?;
            union(run, input, other)
        }
        Name::Combine => {
            let other = call.items(run, 0)?;
            run.budget.spend(other.len())?;
            input.extend(other);
            Ok(input)
        }
    }
}

/// `|`: all items of both, each once.
pub(in crate::fhirpath) fn union<'a>(
    run: &mut Run<'a, '_>,
    mut left: Items<'a>,
    right: Items<'a>,
) -> Result<Items<'a>, Stop> {
    left.extend(right);
    distinct(run, left)
}
