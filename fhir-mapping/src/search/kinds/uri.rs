//! Uri parameters: equal to the letter; `:below` and `:above` by path segments (R4 3.1.1.4.9). A
//! canonical with a version, `url|1.0`, is also found by its url alone, and stands below it and
//! below `url|1` (R4 3.1.1.4.13).

use super::escape::unescape;
use crate::search::terms::Sink;

/// What may follow a part of a version.
const VERSION_ENDS: [char; 3] = ['.', '-', '+'];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::search) struct UriTest {
    relation: Relation,
    asked: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Equal,
    /// The value is the asked one or stands below it.
    Below,
    /// The value is the asked one or stands above it.
    Above,
    /// Of filters, without regard to case.
    Same,
    Contains,
    Starts,
    Ends,
}

pub(in crate::search) fn post(uri: &str, sink: &mut Sink) {
    sink.put('=', &[uri]);
    if let Some((bare, _)) = uri.split_once('|') {
        sink.put('=', &[bare]);
    }
}

/// Is this version the upper one, or one of it: `1.0` of `1`?
pub(in crate::search) fn is_version_within(version: &str, upper: &str) -> bool {
    let rest = version.strip_prefix(upper);
    rest.is_some_and(|rest| rest.is_empty() || upper.is_empty() || rest.starts_with(VERSION_ENDS))
}

impl UriTest {
    /// `None` for a modifier that uris do not have.
    pub(in crate::search) fn parse(modifier: &str, text: &str) -> Option<UriTest> {
        let relation = match modifier {
            "" | "~ne" => Relation::Equal,
            "below" => Relation::Below,
            "above" => Relation::Above,
            "~eq" => Relation::Same,
            "~co" => Relation::Contains,
            "~sw" => Relation::Starts,
            "~ew" => Relation::Ends,
            _ => return None,
        };
        let asked = match relation {
            Relation::Equal | Relation::Below | Relation::Above => unescape(text),
            _ => unescape(text).to_lowercase(),
        };
        Some(UriTest { relation, asked })
    }

    pub(in crate::search) fn matches(&self, uri: &str) -> bool {
        let asked = self.asked.as_str();
        match self.relation {
            Relation::Equal => {
                uri == asked || uri.split_once('|').is_some_and(|(bare, _)| bare == asked)
            }
            Relation::Below => is_within(uri, asked),
            Relation::Above => is_within(asked, uri),
            Relation::Same => uri.to_lowercase() == asked,
            Relation::Contains => uri.to_lowercase().contains(asked),
            Relation::Starts => uri.to_lowercase().starts_with(asked),
            Relation::Ends => uri.to_lowercase().ends_with(asked),
        }
    }

    /// Posts the terms of which every match has one; false when there are none.
    pub(in crate::search) fn candidates(&self, sink: &mut Sink) -> bool {
        match self.relation {
            Relation::Equal => sink.put('=', &[&self.asked]),
            Relation::Above => above(&self.asked, sink),
            _ => return false,
        }
        true
    }
}

/// Is the uri the upper one, or below it at the border of a segment?
fn is_within(uri: &str, upper: &str) -> bool {
    let rest = uri.strip_prefix(upper);
    rest.is_some_and(|rest| {
        rest.is_empty()
            || upper.is_empty()
            || upper.ends_with(['/', '#', ':'])
            || rest.starts_with(['/', '#', '?', ':', '|'])
            || (upper.contains('|') && rest.starts_with(VERSION_ENDS))
    })
}

/// Everything that could stand above: the uri itself and its beginnings.
fn above(uri: &str, sink: &mut Sink) {
    sink.put('=', &[uri]);
    let version = uri.find('|').unwrap_or(uri.len());
    for (at, c) in uri.char_indices() {
        let ends_version = at > version && VERSION_ENDS.contains(&c);
        if ends_version || matches!(c, '/' | '#' | '?' | ':' | '|') {
            let ends = [uri.get(..at), uri.get(..at + c.len_utf8())];
            ends.into_iter()
                .flatten()
                .for_each(|start| sink.put('=', &[start]));
        }
    }
}
