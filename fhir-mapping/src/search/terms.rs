//! Search terms: what the store blinds and posts for a resource, and looks up for a query.
//!
//! A term is text: the type, a slash, the parameter, a tag and a value, as `Patient/gender=female`.
//! The type alone is posted for every resource of it. Tags: `=` whole value, `^` folded prefix,
//! `/` id, `#` identifier, `D M Y m y` calendar buckets, `?` presence, `!` overflow: the
//! parameter has values that were not posted, so every search on it looks there too.

use super::definitions::Kind;
use super::kinds::{date, string, uri};
use super::values::{SearchValues, Value};

/// Collects the terms of one parameter.
pub(super) struct Sink {
    prefix: String,
    terms: Vec<Vec<u8>>,
    overflows: bool,
}

/// More terms than this for one parameter become its overflow term.
const PARAMETER_TERMS_MAX: usize = 96;
/// More terms than this for one resource, and its longest parameters overflow.
const RESOURCE_TERMS_MAX: usize = 500;

impl Sink {
    pub(super) fn new(resource_type: &str, parameter: &str) -> Sink {
        Sink {
            prefix: format!("{resource_type}/{parameter}"),
            terms: Vec::new(),
            overflows: false,
        }
    }

    pub(super) fn put(&mut self, tag: char, parts: &[&str]) {
        let length = parts.iter().map(|p| p.len()).sum::<usize>();
        let mut term = Vec::with_capacity(self.prefix.len() + 1 + length);
        term.extend_from_slice(self.prefix.as_bytes());
        term.extend_from_slice(tag.encode_utf8(&mut [0; 4]).as_bytes());
        for part in parts {
            term.extend_from_slice(part.as_bytes());
        }
        self.terms.push(term);
    }

    /// Says that a value could not be posted.
    pub(super) fn overflow(&mut self) {
        self.overflows = true;
    }

    /// Sorts the terms; too many of them become an overflow.
    fn settle(&mut self, terms_max: usize) {
        self.terms.sort_unstable();
        self.terms.dedup();
        if self.terms.len() > terms_max {
            self.terms.clear();
            self.overflows = true;
        }
    }

    /// The terms to look up for a query: any of them may hold a match.
    pub(super) fn into_group(mut self) -> Vec<Vec<u8>> {
        self.put('!', &[]);
        self.settle(usize::MAX);
        self.terms
    }

    /// The one term that was put.
    pub(super) fn into_only(mut self) -> Vec<u8> {
        self.terms.pop().unwrap_or_default()
    }

    pub(super) fn len(&self) -> usize {
        self.terms.len()
    }

    /// Only the presence term, for a search that no other term serves.
    pub(super) fn presence(mut self) -> Vec<Vec<u8>> {
        self.terms.clear();
        self.put('?', &[]);
        self.terms
    }
}

/// Tokens and references are so often there that presence would select little: they have no such
/// term, and a search that needs it walks the type. Composites are found by their components' terms.
pub(super) fn posts_presence(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Text | Kind::Date | Kind::Uri | Kind::Number | Kind::Quantity
    )
}

/// All terms of a resource, sorted, without repeats.
pub(super) fn of(values: &SearchValues) -> Vec<Vec<u8>> {
    let mut sinks: Vec<(Sink, Kind)> = values
        .by_parameter()
        .map(|(parameter, found)| {
            let mut sink = Sink::new(values.resource_type(), parameter.name);
            found
                .iter()
                .for_each(|value| post(value, &parameter.targets, &mut sink));
            sink.settle(PARAMETER_TERMS_MAX);
            (sink, parameter.kind)
        })
        .collect();
    bound(&mut sinks);
    let mut terms = vec![values.resource_type().as_bytes().to_vec()];
    for (mut sink, kind) in sinks {
        if sink.overflows {
            sink.put('!', &[]);
        }
        if posts_presence(kind) {
            sink.put('?', &[]);
        }
        terms.append(&mut sink.terms);
    }
    terms.sort_unstable();
    terms
}

/// Lets the parameters with most terms overflow until the resource is within its bound.
fn bound(sinks: &mut [(Sink, Kind)]) {
    let mut total: usize = sinks.iter().map(|(sink, _)| sink.len()).sum();
    while total > RESOURCE_TERMS_MAX {
        let Some((longest, _)) = sinks.iter_mut().max_by_key(|(sink, _)| sink.len()) else {
            return;
        };
        total -= longest.len();
        longest.settle(0);
    }
}

fn post(value: &Value, targets: &[&str], sink: &mut Sink) {
    match value {
        Value::Token(token) => token.post(sink),
        Value::Text(text) => string::post(text, sink),
        Value::Reference(link) => link.post(targets, sink),
        Value::Date(span) => date::post(*span, sink),
        Value::Uri(text) => uri::post(text, sink),
        Value::Amount(_) | Value::Place(_) | Value::Composite(_) => {}
    }
}
