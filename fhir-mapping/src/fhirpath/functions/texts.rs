//! Texts (N1 5.6 and the string functions of the standard for trial use). Positions count
//! characters. Patterns run in linear time.

use super::super::Stop;
use super::super::evaluate::{Items, Run, count_item};
use super::super::item::{Item, Value};
use super::{Arguments, Call, one, text};
use regex::{Regex, RegexBuilder};
use std::borrow::Cow;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fhirpath) enum Name {
    IndexOf,
    LastIndexOf,
    Substring,
    StartsWith,
    EndsWith,
    Contains,
    Upper,
    Lower,
    Replace,
    Matches,
    MatchesFull,
    ReplaceMatches,
    Length,
    ToChars,
    Trim,
    Split,
    Join,
}

const TWO: Arguments = Arguments::Count(2, 2);

pub(in crate::fhirpath) const NAMES: [(&str, Name, Arguments); 17] = [
    ("indexOf", Name::IndexOf, Arguments::ONE),
    ("lastIndexOf", Name::LastIndexOf, Arguments::ONE),
    ("substring", Name::Substring, Arguments::Count(1, 2)),
    ("startsWith", Name::StartsWith, Arguments::ONE),
    ("endsWith", Name::EndsWith, Arguments::ONE),
    ("contains", Name::Contains, Arguments::ONE),
    ("upper", Name::Upper, Arguments::NONE),
    ("lower", Name::Lower, Arguments::NONE),
    ("replace", Name::Replace, TWO),
    ("matches", Name::Matches, Arguments::ONE),
    ("matchesFull", Name::MatchesFull, Arguments::ONE),
    ("replaceMatches", Name::ReplaceMatches, TWO),
    ("length", Name::Length, Arguments::NONE),
    ("toChars", Name::ToChars, Arguments::NONE),
    ("trim", Name::Trim, Arguments::NONE),
    ("split", Name::Split, Arguments::ONE),
    ("join", Name::Join, Arguments::Count(0, 1)),
];

pub(in crate::fhirpath) fn call<'a>(
    run: &mut Run<'a, '_>,
    name: Name,
    input: Items<'a>,
    call: Call<'a, '_>,
) -> Result<Items<'a>, Stop> {
    if name == Name::Join {
        return join(run, &input, call);
    }
    let Some(subject) = text(&input, "a function of texts")? else {
        return Ok(Vec::new());
    };
    run.budget.spend(subject.len() / 64)?;
    let length = |text: &str| count_item(text.chars().count());
    match name {
        Name::Upper => Ok(vec![Item::text(subject.to_uppercase())]),
        Name::Lower => Ok(vec![Item::text(subject.to_lowercase())]),
        Name::Trim => Ok(vec![Item::text(subject.trim().to_owned())]),
        Name::Length => Ok(vec![length(&subject)]),
        Name::ToChars => {
            run.budget.spend(subject.len())?;
            let chars = subject.chars().map(|c| Item::text(c.to_string()));
            Ok(chars.collect())
        }
        Name::Substring => substring(run, &subject, call),
        Name::Replace | Name::ReplaceMatches => replace(run, name, &subject, call),
        Name::Matches | Name::MatchesFull => {
            let Some(pattern) = call.text(run, 0)? else {
                return Ok(Vec::new());
            };
            let pattern = match name {
                Name::MatchesFull => Cow::Owned(format!("^(?:{pattern})$")),
                _ => pattern,
            };
            let pattern = compiled(run, &pattern)?;
            Ok(vec![Item::bool(pattern.is_match(&subject))])
        }
        _ => {
            let Some(part) = call.text(run, 0)? else {
                return Ok(Vec::new());
            };
            part_of(run, name, (&subject, &part))
        }
    }
}

fn part_of<'a>(run: &mut Run<'a, '_>, name: Name, texts: (&str, &str)) -> Result<Items<'a>, Stop> {
    let (subject, part) = texts;
    let at = |found: Option<usize>| match found {
        Some(at) => {
            let before = subject.get(..at).unwrap_or_default();
            count_item(before.chars().count())
        }
        None => Item::integer(-1),
    };
    Ok(vec![match name {
        Name::IndexOf => at(subject.find(part)),
        Name::LastIndexOf => at(subject.rfind(part)),
        Name::StartsWith => Item::bool(subject.starts_with(part)),
        Name::EndsWith => Item::bool(subject.ends_with(part)),
        Name::Split => {
            let parts: Items<'a> = subject
                .split(part)
                .map(|p| Item::text(p.to_owned()))
                .collect();
            run.budget.spend(parts.len())?;
            return Ok(parts);
        }
        _ => Item::bool(subject.contains(part)),
    }])
}

fn substring<'a>(
    run: &mut Run<'a, '_>,
    subject: &str,
    call: Call<'a, '_>,
) -> Result<Items<'a>, Stop> {
    let start = call.whole(run, 0)?.and_then(|s| usize::try_from(s).ok());
    let Some(start) = start.filter(|s| *s < subject.chars().count()) else {
        return Ok(Vec::new());
    };
    let length = match call.whole(run, 1)? {
        Some(length) => usize::try_from(length).unwrap_or(0),
        None => usize::MAX,
    };
    let part: String = subject.chars().skip(start).take(length).collect();
    Ok(vec![Item::text(part)])
}

fn replace<'a>(
    run: &mut Run<'a, '_>,
    name: Name,
    subject: &str,
    call: Call<'a, '_>,
) -> Result<Items<'a>, Stop> {
    let (Some(pattern), Some(by)) = (call.text(run, 0)?, call.text(run, 1)?) else {
        return Ok(Vec::new());
    };
    run.budget
        .spend(subject.len().saturating_mul(by.len() + 1) / 64)?;
    if name == Name::Replace {
        return Ok(vec![Item::text(subject.replace(&*pattern, &by))]);
    }
    if pattern.is_empty() {
        return Ok(vec![Item::text(subject.to_owned())]);
    }
    let pattern = compiled(run, &pattern)?;
    Ok(vec![Item::text(
        pattern.replace_all(subject, &*by).into_owned(),
    )])
}

fn join<'a>(
    run: &mut Run<'a, '_>,
    input: &[Item<'a>],
    call: Call<'a, '_>,
) -> Result<Items<'a>, Stop> {
    let separator = call.text(run, 0)?.unwrap_or_default();
    let mut parts = Vec::new();
    for item in input {
        match item.value()? {
            Some(Value::Text(text)) => parts.push(text),
            _ => return Err(Stop::Type("join()")),
        }
        run.budget.spend(1)?;
    }
    Ok(one(
        (!parts.is_empty()).then(|| Value::Text(parts.join(&separator).into()))
    ))
}

/// Bytes of a compiled pattern; a larger one is a trap, not a rule.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// The last patterns, for an expression asks the same ones again and again.
fn compiled(run: &mut Run<'_, '_>, pattern: &str) -> Result<Regex, Stop> {
    use std::cell::RefCell;
    thread_local! {
        static LAST: RefCell<Vec<(String, Regex)>> = const { RefCell::new(Vec::new()) };
    }
    let known = LAST.with_borrow(|last| {
        let found = last.iter().find(|(text, _)| text == pattern);
        found.map(|(_, compiled)| compiled.clone())
    });
    if let Some(known) = known {
        return Ok(known);
    }
    run.budget.spend(pattern.len() + 200)?;
    let built = RegexBuilder::new(pattern)
        .size_limit(PATTERN_BYTES_MAX)
        .dot_matches_new_line(true)
        .build();
    let built = built.map_err(|_unreadable| Stop::Pattern("matches()"))?;
    LAST.with_borrow_mut(|last| {
        last.truncate(PATTERNS_KEPT - 1);
        last.insert(0, (pattern.to_owned(), built.clone()));
    });
    Ok(built)
}

const PATTERNS_KEPT: usize = 16;
