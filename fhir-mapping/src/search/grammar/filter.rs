//! `_filter` expressions (R4 <https://hl7.org/fhir/R4/search_filter.html>): read to a small tree,
//! then made into conditions of the searched type. `and` and `or` bind alike, from left to right.
//! Values are compared without regard to case.

use super::names::{Place, Reader, unreadable};
use crate::model::Issue;
use crate::search::condition::Condition;
use crate::search::criterion::Asked;
use crate::search::definitions::Kind;

#[derive(Debug)]
enum Filter<'a> {
    Compare(Path<'a>, &'a str, String),
    All(Vec<Filter<'a>>),
    Any(Vec<Filter<'a>>),
    Not(Box<Filter<'a>>),
}

#[derive(Debug)]
enum Path<'a> {
    /// The parameter itself, or `_has:Type:param:param`.
    Last(&'a str),
    /// `name[filter].rest`
    Link(&'a str, Option<Box<Filter<'a>>>, Box<Path<'a>>),
}

/// Deeper parentheses are refused.
const NESTING_MAX: usize = 16;

pub(super) fn parse(reader: &Reader, at: Place, text: &str) -> Result<Condition, Issue> {
    let mut input = Input { rest: text };
    let filter = input.filter(0).filter(|_| input.rest.trim().is_empty());
    let filter = filter.ok_or_else(|| {
        let place = text.len() - input.rest.len();
        bad(&format!("cannot be read at character {place}"))
    })?;
    build(reader, at, &filter)
}

fn bad(why: &str) -> Issue {
    unreadable("_filter", why)
}

struct Input<'a> {
    rest: &'a str,
}

impl<'a> Input<'a> {
    fn filter(&mut self, nesting: usize) -> Option<Filter<'a>> {
        let mut left = self.term(nesting)?;
        loop {
            let right = if self.word("and") {
                let right = self.term(nesting)?;
                match &mut left {
                    Filter::All(parts) => {
                        parts.push(right);
                        continue;
                    }
                    _ => (true, right),
                }
            } else if self.word("or") {
                let right = self.term(nesting)?;
                match &mut left {
                    Filter::Any(parts) => {
                        parts.push(right);
                        continue;
                    }
                    _ => (false, right),
                }
            } else {
                return Some(left);
            };
            left = match right {
                (true, right) => Filter::All(vec![left, right]),
                (false, right) => Filter::Any(vec![left, right]),
            };
        }
    }

    fn term(&mut self, nesting: usize) -> Option<Filter<'a>> {
        self.rest = self.rest.trim_start();
        if nesting > NESTING_MAX {
            return None;
        }
        let negated = self.rest.strip_prefix("not").map(str::trim_start);
        if let Some(inner) = negated.and_then(|rest| rest.strip_prefix('(')) {
            self.rest = inner;
            let filter = self.closed(nesting, ')')?;
            return Some(Filter::Not(Box::new(filter)));
        }
        if let Some(inner) = self.rest.strip_prefix('(') {
            self.rest = inner;
            let filter = self.closed(nesting, ')')?;
            // Kept apart from what follows: its parts are not to be joined with others.
            return Some(Filter::All(vec![filter]));
        }
        let path = self.path(nesting)?;
        let operator = self.until(char::is_whitespace)?;
        Some(Filter::Compare(path, operator, self.value()?))
    }

    fn closed(&mut self, nesting: usize, end: char) -> Option<Filter<'a>> {
        let filter = self.filter(nesting + 1)?;
        self.rest = self.rest.trim_start().strip_prefix(end)?;
        Some(filter)
    }

    fn path(&mut self, nesting: usize) -> Option<Path<'a>> {
        let is_has = self.rest.starts_with("_has:");
        let name = self.until(|c| c.is_whitespace() || (!is_has && matches!(c, '.' | '[')))?;
        let mut condition = None;
        if let Some(inner) = self.rest.strip_prefix('[') {
            self.rest = inner;
            condition = Some(Box::new(self.closed(nesting, ']')?));
            self.rest.strip_prefix('.')?;
        }
        match self.rest.strip_prefix('.') {
            Some(rest) => {
                self.rest = rest;
                let rest = Box::new(self.path(nesting + 1).filter(|_| nesting < NESTING_MAX)?);
                Some(Path::Link(name, condition, rest))
            }
            None => Some(Path::Last(name)),
        }
    }

    /// A JSON string, or what stands before the next space, `)` or `]`.
    fn value(&mut self) -> Option<String> {
        self.rest = self.rest.trim_start();
        let Some(quoted) = self.rest.strip_prefix('"') else {
            let ends = |c: char| c.is_whitespace() || matches!(c, ')' | ']');
            return self.until(ends).map(str::to_owned);
        };
        let mut chars = quoted.char_indices();
        let mut value = String::new();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.rest = quoted.get(at + 1..)?;
                    return Some(value);
                }
                '\\' => value.push(match chars.next()?.1 {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    'u' => unicode(&mut chars)?,
                    c => c,
                }),
                c => value.push(c),
            }
        }
        None
    }

    /// The non-empty text before the first character that ends it.
    fn until(&mut self, ends: impl Fn(char) -> bool) -> Option<&'a str> {
        self.rest = self.rest.trim_start();
        let at = self.rest.find(ends).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at_checked(at)?;
        self.rest = rest;
        (!text.is_empty()).then_some(text)
    }

    /// Takes this word if it is next and stands alone.
    fn word(&mut self, word: &str) -> bool {
        let rest = self.rest.trim_start().strip_prefix(word);
        let rest = rest.filter(|rest| rest.starts_with(|c: char| c.is_whitespace() || c == '('));
        rest.inspect(|rest| self.rest = rest).is_some()
    }
}

fn unicode(chars: &mut std::str::CharIndices) -> Option<char> {
    let mut number = 0;
    for _ in 0..4 {
        number = number * 16 + chars.next()?.1.to_digit(16)?;
    }
    char::from_u32(number)
}

fn build(reader: &Reader, at: Place, filter: &Filter) -> Result<Condition, Issue> {
    let all = |parts: &[Filter]| -> Result<Vec<Condition>, Issue> {
        parts.iter().map(|part| build(reader, at, part)).collect()
    };
    Ok(match filter {
        Filter::All(parts) => Condition::All(all(parts)?),
        Filter::Any(parts) => Condition::Any(all(parts)?),
        Filter::Not(part) => Condition::Not(Box::new(build(reader, at, part)?)),
        Filter::Compare(path, operator, value) => {
            let condition = compare(reader, at, path, (operator, value))?;
            condition.ok_or_else(|| bad("names a search parameter that is not there"))?
        }
    })
}

/// `None` when the type has no such parameter.
fn compare(
    reader: &Reader,
    at: Place,
    path: &Path,
    asked: (&str, &str),
) -> Result<Option<Condition>, Issue> {
    match path {
        Path::Link(name, Some(condition), rest) if Nested::of(at, name).is_some() => {
            nested(reader, at, (name, condition, rest), asked).map(Some)
        }
        Path::Link(name, condition, rest) => reader.chain(at, name, &|reader, place| {
            let Some(last) = compare(reader, place, rest, asked)? else {
                return Ok(None);
            };
            Ok(Some(match condition {
                Some(filter) => Condition::All(vec![build(reader, place, filter)?, last]),
                None => last,
            }))
        }),
        Path::Last(name) => match name.strip_prefix("_has:") {
            Some(rest) => {
                let inner = |reader: &Reader, place: Place, name: &str| {
                    compare(reader, place, &Path::Last(name), asked)
                };
                reader.has(at, rest, &inner).map(Some)
            }
            None => leaf(reader, at, name, asked),
        },
    }
}

/// An element whose members are asked about together: a composite parameter, and the names that
/// filters have for its components (R4 search_filter, "Additional Parameters", those that R4's own
/// parameters can answer).
struct Nested {
    resource_type: &'static str,
    name: &'static str,
    composite: &'static str,
    children: [&'static str; 2],
}

const NESTED: [Nested; 2] = [
    Nested {
        resource_type: "Group",
        name: "characteristic",
        composite: "characteristic-value",
        children: ["code", "value"],
    },
    Nested {
        resource_type: "DocumentReference",
        name: "relatesTo",
        composite: "relationship",
        children: ["code", "target"],
    },
];

impl Nested {
    fn of(at: Place, name: &str) -> Option<&'static Nested> {
        let mut all = NESTED.iter();
        all.find(|nested| nested.resource_type == at.resource_type && nested.name == name)
    }
}

/// `characteristic[code eq x].value eq y`
fn nested(
    reader: &Reader,
    at: Place,
    (name, condition, rest): (&str, &Filter, &Path),
    (operator, value): (&str, &str),
) -> Result<Condition, Issue> {
    let why = || {
        bad(&format!(
            "{name} takes [child eq value].child eq value, of its two children"
        ))
    };
    let nested = Nested::of(at, name).ok_or_else(why)?;
    let (Filter::Compare(Path::Last(first), "eq", first_value), Path::Last(second)) =
        (condition, rest)
    else {
        return Err(why());
    };
    let [one, other] = nested.children;
    if !matches!(operator, "eq" | "re") {
        return Err(why());
    }
    let parts = match (*first, *second) {
        (a, b) if (a, b) == (one, other) => [first_value.as_str(), value],
        (a, b) if (a, b) == (other, one) => [value, first_value.as_str()],
        _ => return Err(why()),
    };
    let parts = parts.map(|part| escaped(Kind::Token, &named(part)));
    let (index, parameter) = reader
        .find(at.resource_type, nested.composite)
        .ok_or_else(why)?;
    let asked = Asked {
        parameter,
        index,
        modifier: "",
        value: &parts.join("$"),
    };
    reader.made(at, &asked)
}

fn leaf(
    reader: &Reader,
    at: Place,
    name: &str,
    (operator, value): (&str, &str),
) -> Result<Option<Condition>, Issue> {
    let name = if name == "id" { "_id" } else { name };
    let Some((index, parameter)) = reader.find(at.resource_type, name) else {
        return Ok(None);
    };
    let (modifier, prefix) = test_of(parameter.kind, operator).ok_or_else(|| {
        let kind = parameter.kind.code();
        bad(&format!(
            "{operator} does not apply to the {kind} parameter {name}"
        ))
    })?;
    let value = match (operator, value) {
        ("pr", "true") => "false".to_owned(),
        ("pr", "false") => "true".to_owned(),
        ("pr", _) => return Err(bad("pr takes true or false")),
        _ if matches!(
            parameter.kind,
            Kind::Token | Kind::Quantity | Kind::Composite
        ) =>
        {
            format!("{prefix}{}", escaped(parameter.kind, &named(value)))
        }
        _ => format!("{prefix}{}", escaped(parameter.kind, value)),
    };
    let asked = Asked {
        parameter,
        index,
        // An id is one to the letter.
        modifier: match (name, modifier) {
            ("_id", "~eq") => "",
            _ => modifier,
        },
        value: &value,
    };
    reader.made(at, &asked).map(Some)
}

/// The modifier and the prefix that an operator stands for. Modifiers that start with `~` exist
/// for filters alone.
fn test_of(kind: Kind, operator: &str) -> Option<(&'static str, &'static str)> {
    if let Some((_, modifier)) = [("pr", "missing")]
        .iter()
        .find(|(name, _)| *name == operator)
    {
        return Some((modifier, ""));
    }
    let is_ordered = matches!(kind, Kind::Date | Kind::Number | Kind::Quantity);
    if is_ordered {
        const PREFIXES: [&str; 9] = ["eq", "ne", "gt", "lt", "ge", "le", "ap", "sa", "eb"];
        let prefix = PREFIXES.iter().find(|name| **name == operator);
        return match (prefix, operator) {
            (Some(prefix), _) => Some(("", prefix)),
            (None, "po") if kind == Kind::Date => Some(("~po", "")),
            (None, "co") if kind != Kind::Quantity => Some(("~co", "")),
            _ => None,
        };
    }
    let modifier = match (kind, operator) {
        (Kind::Text | Kind::Uri | Kind::Token, "eq") => "~eq",
        (Kind::Text | Kind::Uri | Kind::Token | Kind::Reference, "ne") => "~ne",
        (Kind::Text | Kind::Uri, "co") => "~co",
        (Kind::Text | Kind::Uri, "sw") => "~sw",
        (Kind::Text | Kind::Uri, "ew") => "~ew",
        (Kind::Text, "gt") => "~gt",
        (Kind::Text, "lt") => "~lt",
        (Kind::Text, "ge") => "~ge",
        (Kind::Text, "le") => "~le",
        (Kind::Token, "ss") => "below",
        (Kind::Token, "sb") => "above",
        (Kind::Token, "in") => "in",
        (Kind::Token, "ni") => "not-in",
        (Kind::Reference, "eq" | "re") => "",
        (_, "eq") => "",
        _ => return None,
    };
    Some((modifier, ""))
}

/// Code systems that filters may call by a short name.
const NAMED: [(&str, &str); 4] = [
    ("loinc", "http://loinc.org"),
    ("snomed", "http://snomed.info/sct"),
    ("rxnorm", "http://www.nlm.nih.gov/research/umls/rxnorm"),
    ("ucum", "http://unitsofmeasure.org"),
];

/// `loinc|718-7` with the system's full name; `5|ucum|mg` too, and parts of composites.
fn named(value: &str) -> String {
    let full = |text: &str| {
        let known = NAMED.iter().find(|(name, _)| *name == text);
        known.map_or_else(|| text.to_owned(), |(_, full)| (*full).to_owned())
    };
    let part = |part: &str| match part.rsplit_once('|') {
        Some((systems, code)) => {
            let systems: Vec<String> = systems.split('|').map(full).collect();
            format!("{}|{code}", systems.join("|"))
        }
        None => part.to_owned(),
    };
    let parts: Vec<String> = value.split('$').map(part).collect();
    parts.join("$")
}

/// A filter's value is one value, as it stands.
fn escaped(kind: Kind, value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        let is_special = match c {
            '\\' | ',' => true,
            '|' => matches!(kind, Kind::Text | Kind::Uri),
            '$' => kind != Kind::Composite,
            _ => false,
        };
        if is_special {
            text.push('\\');
        }
        text.push(c);
    }
    text
}
