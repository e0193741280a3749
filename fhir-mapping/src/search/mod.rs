//! Search: what is extracted from a resource, how a request is read, and who matches.
//!
//! The store's posting lists only propose candidates; the one evaluator here decides.

use crate::model::{Issue, Json};

/// Everything a search may ask of one resource: per parameter its typed values. Encodes compactly;
/// terms are derived from it alone, so an update can compare old and new without the old body.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchValues {}

/// A search request for one resource type, parsed and checked.
#[derive(Clone, Debug)]
pub struct Query {}

/// `Prefer: handling`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handling {
    Strict,
    Lenient,
}

/// `_sort` key of a resource; `Ord` is the order of the answer (missing values last).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SortKey(pub Vec<u8>);

/// Candidates: all groups must hold (intersection); within a group any of the terms (union).
/// An empty list means: every resource of the type (its type term is then the one group).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidates {
    pub all_of: Vec<Vec<Vec<u8>>>,
}

/// `_include=Type:param[:TargetType]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Include {
    pub source_type: String,
    pub parameter: String,
    pub target_type: Option<String>,
}

/// One parameter as the CapabilityStatement lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Definition {
    pub name: &'static str,
    pub kind: &'static str,
    pub url: &'static str,
}

/// Site settings that searching depends on.
#[derive(Clone, Debug)]
pub struct Zone(pub jiff::tz::TimeZone);

/// Search values of a resource under the official R4 expressions.
/// `last_updated` and id are read from the resource itself.
pub fn extract(_resource: &Json, _zone: &Zone) -> SearchValues {
    unimplemented!()
}

/// Parameters that work for this type (token, string, reference, date, uri now), sorted by name.
pub fn definitions(_resource_type: &str) -> Vec<Definition> {
    unimplemented!()
}

impl SearchValues {
    pub fn encode(&self) -> Vec<u8> {
        unimplemented!()
    }

    /// Sets `_lastUpdated`: values are extracted before the writing transaction, which alone knows
    /// the time (milliseconds since 1970-01-01T00:00:00Z). Changes no other parameter.
    pub fn set_last_updated(&mut self, _time_ms: i64) {
        unimplemented!()
    }

    /// `None` when the bytes are of another format version: reindex.
    pub fn decode(_bytes: &[u8]) -> Option<SearchValues> {
        unimplemented!()
    }

    /// The terms to post, sorted, without repeats; the type term is among them.
    pub fn terms(&self) -> Vec<Vec<u8>> {
        unimplemented!()
    }

    /// Literal targets (`Type`, `id`) of a reference parameter, for `_include`.
    pub fn references(&self, _parameter: &str) -> Vec<(String, String)> {
        unimplemented!()
    }
}

impl Query {
    /// Reads the decoded name-value pairs of a request. Unknown parameters: an error under strict,
    /// left out (and absent from `self_link`) under lenient. `_format`, `_pretty` are always accepted.
    pub fn parse(
        _resource_type: &str,
        _pairs: &[(String, String)],
        _handling: Handling,
        _zone: &Zone,
    ) -> Result<Query, Vec<Issue>> {
        unimplemented!()
    }

    pub fn candidates(&self) -> Candidates {
        unimplemented!()
    }

    /// Does this resource match every criterion?
    pub fn matches(&self, _values: &SearchValues) -> bool {
        unimplemented!()
    }

    /// `None` when the request has no `_sort`: the answer is then in the store's order.
    pub fn sort_key(&self, _values: &SearchValues) -> Option<SortKey> {
        unimplemented!()
    }

    pub fn includes(&self) -> &[Include] {
        unimplemented!()
    }

    /// `_count`, if given.
    pub fn count(&self) -> Option<usize> {
        unimplemented!()
    }

    /// `_summary=count` (or `_count=0`): only the total is wanted.
    pub fn is_count_only(&self) -> bool {
        unimplemented!()
    }

    /// True when nothing restricts the answer but result parameters (a conditional write refuses this).
    pub fn is_unrestricted(&self) -> bool {
        unimplemented!()
    }

    /// The parameters that were used, encoded as a query string, without paging cursor.
    pub fn self_link(&self) -> String {
        unimplemented!()
    }
}
