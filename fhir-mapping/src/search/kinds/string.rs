//! String parameters: plain text and the parts of names and addresses.

use super::escape::unescape;
use super::fold::fold;
use crate::model::Json;
use crate::search::terms::Sink;
use std::cmp::Ordering;

/// What a request asks of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::search) enum StringTest {
    /// Folded start of the value: the default.
    Starts(String),
    /// Folded part of the value.
    Contains(String),
    /// The value to the letter.
    Exact(String),
    /// Folded, the whole value: of filters.
    Equals(String),
    /// Nothing but punctuation, to the letter: the start of a value that folds to nothing too.
    Unfolded(String),
    /// Folded end of the value: of filters.
    Ends(String),
    /// The folded value's first character compared with this one: of filters.
    First(Ordering, char, bool),
}

/// Members of HumanName and Address that are searched; `use` and `period` are not.
const PARTS: [&str; 11] = [
    "text",
    "family",
    "given",
    "prefix",
    "suffix",
    "line",
    "city",
    "district",
    "state",
    "postalCode",
    "country",
];
/// Lengths of the folded prefixes that are posted, in characters, longest first.
const PREFIX_LENGTHS: [usize; 4] = [8, 5, 3, 2];

pub(in crate::search) fn collect(value: &Json, found: &mut dyn FnMut(String)) {
    match value {
        Json::String(text) => found(text.clone()),
        Json::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Json::Object(object) => object
            .iter()
            .filter(|(key, _)| PARTS.contains(key))
            .for_each(|(_, part)| collect(part, found)),
        _ => {}
    }
}

/// Posts the folded value and its prefixes.
pub(in crate::search) fn post(text: &str, sink: &mut Sink) {
    let folded = fold(text);
    for length in PREFIX_LENGTHS {
        if let Some(prefix) = prefix(&folded, length) {
            sink.put('^', &[prefix]);
        }
    }
    sink.put('=', &[&folded]);
}

impl StringTest {
    /// `None` for a modifier that strings do not have.
    pub(in crate::search) fn parse(modifier: &str, text: &str) -> Option<StringTest> {
        let text = unescape(text);
        if let Some(test) = StringTest::of_order(modifier, &text) {
            return Some(test);
        }
        let folds = !matches!(modifier, "exact");
        if folds && fold(&text).is_empty() && StringTest::parse(modifier, "x").is_some() {
            return Some(StringTest::Unfolded(text));
        }
        match modifier {
            "" | "~sw" => Some(StringTest::Starts(fold(&text))),
            "~eq" | "~ne" => Some(StringTest::Equals(fold(&text))),
            "~ew" => Some(StringTest::Ends(fold(&text))),
            "contains" | "~co" => Some(StringTest::Contains(fold(&text))),
            "exact" => Some(StringTest::Exact(text)),
            _ => None,
        }
    }

    /// `gt`, `lt`, `ge` and `le` of filters look at the first character alone (R4 search_filter).
    fn of_order(modifier: &str, text: &str) -> Option<StringTest> {
        let (order, or_equal) = match modifier {
            "~gt" => (Ordering::Greater, false),
            "~lt" => (Ordering::Less, false),
            "~ge" => (Ordering::Greater, true),
            "~le" => (Ordering::Less, true),
            _ => return None,
        };
        let first = fold(text).chars().next()?;
        Some(StringTest::First(order, first, or_equal))
    }

    pub(in crate::search) fn matches(&self, value: &str) -> bool {
        match self {
            StringTest::Starts(asked) => fold(value).starts_with(asked.as_str()),
            StringTest::Contains(asked) => fold(value).contains(asked.as_str()),
            StringTest::Exact(asked) => value == asked,
            StringTest::Unfolded(asked) => value.contains(asked) && fold(value).is_empty(),
            StringTest::Equals(asked) => fold(value) == *asked,
            StringTest::Ends(asked) => fold(value).ends_with(asked.as_str()),
            StringTest::First(order, asked, or_equal) => {
                let found = fold(value).chars().next().map(|first| first.cmp(asked));
                found == Some(*order) || (*or_equal && found == Some(Ordering::Equal))
            }
        }
    }

    /// Posts the one term that every match has; false when there is none.
    pub(in crate::search) fn candidates(&self, sink: &mut Sink) -> bool {
        match self {
            StringTest::Starts(asked) => {
                let posted = PREFIX_LENGTHS.iter().find_map(|n| prefix(asked, *n));
                posted.map(|prefix| sink.put('^', &[prefix])).is_some()
            }
            StringTest::Contains(_) | StringTest::Ends(_) | StringTest::First(..) => false,
            StringTest::Equals(asked) => {
                sink.put('=', &[asked]);
                true
            }
            StringTest::Unfolded(_) => {
                sink.put('=', &[""]);
                true
            }
            StringTest::Exact(asked) => {
                sink.put('=', &[&fold(asked)]);
                true
            }
        }
    }
}

/// The first `length` characters; `None` when there are fewer.
fn prefix(text: &str, length: usize) -> Option<&str> {
    let end = match text.char_indices().nth(length) {
        Some((end, _)) => end,
        None => (text.chars().count() == length).then_some(text.len())?,
    };
    text.get(..end)
}
