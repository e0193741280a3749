//! Search: what is extracted from a resource, how a request is read, and who matches.
//!
//! The store's posting lists only propose candidates; the one evaluator here decides.

mod definitions;
mod kinds;
mod path;

mod codec;
mod terms;
mod values;

mod criterion;
mod query;
mod sort;

pub use query::{Query, encode_pairs};
pub use values::SearchValues;

use self::kinds::calendar::Span;
use self::values::Value;
use crate::model::{Issue, IssueCode, Json};

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

/// Search values of a resource under the official R4 expressions. `_lastUpdated`, `_id` and the
/// other parameters of every resource are read from the resource itself: set `meta` before.
pub fn extract(resource: &Json, zone: &Zone) -> SearchValues {
    SearchValues::extract(resource, zone)
}

/// Parameters that work for this type, sorted by name.
pub fn definitions(resource_type: &str) -> Vec<Definition> {
    let parameters = definitions::of_type(resource_type).map_or(&[][..], |d| &d.parameters);
    parameters
        .iter()
        .filter(|p| p.kind != definitions::Kind::Unsupported)
        .map(|p| Definition {
            name: p.name,
            kind: p.kind.code(),
            url: p.url,
        })
        .collect()
}

/// Is this the name of an R4 resource type?
pub fn is_resource_type(name: &str) -> bool {
    definitions::is_resource_type(name)
}

impl SearchValues {
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Sets `_lastUpdated`: values are extracted before the writing transaction, which alone knows
    /// the time (milliseconds since 1970-01-01T00:00:00Z). Changes no other parameter.
    pub fn set_last_updated(&mut self, time_ms: i64) {
        let low = time_ms.saturating_mul(1000);
        let high = low.saturating_add(1000);
        self.replace("_lastUpdated", Value::Date(Span { low, high }));
    }

    /// `None` when the bytes are of another format version or of other definitions: reindex.
    pub fn decode(bytes: &[u8]) -> Option<SearchValues> {
        codec::decode(bytes)
    }

    /// The terms to post, sorted, without repeats; the type term is among them.
    pub fn terms(&self) -> Vec<Vec<u8>> {
        terms::of(self)
    }
}

impl Query {
    /// Reads the decoded name-value pairs of a request. Unknown parameters: an error under strict,
    /// left out (and absent from `self_link`) under lenient. `_format`, `_pretty` are always accepted.
    /// An unsupported modifier or a value that cannot be read is an error under both.
    pub fn parse(
        resource_type: &str,
        pairs: &[(String, String)],
        handling: Handling,
        zone: &Zone,
    ) -> Result<Query, Vec<Issue>> {
        let Some(parser) = query::Parser::new(resource_type, handling, zone) else {
            let text = "this resource type cannot be searched";
            return Err(vec![Issue::error(
                "E-SEARCH-8",
                IssueCode::NotSupported,
                "",
                text,
            )]);
        };
        parser.parse(pairs)
    }

    pub fn candidates(&self) -> Candidates {
        let mut all_of: Vec<Vec<Vec<u8>>> = self
            .criteria
            .iter()
            .filter_map(|criterion| criterion.candidates(&self.resource_type))
            .collect();
        if all_of.is_empty() {
            all_of.push(vec![self.resource_type.as_bytes().to_vec()]);
        }
        Candidates { all_of }
    }

    /// Does this resource match every criterion?
    pub fn matches(&self, values: &SearchValues) -> bool {
        values.resource_type() == self.resource_type
            && self.criteria.iter().all(|c| c.matches(values))
    }

    /// `None` when the request has no `_sort`: the answer is then in the store's order.
    pub fn sort_key(&self, values: &SearchValues) -> Option<SortKey> {
        (!self.sort.is_empty()).then(|| sort::key(&self.sort, values))
    }

    pub fn includes(&self) -> &[Include] {
        &self.includes
    }

    /// `_count`, if given.
    pub fn count(&self) -> Option<usize> {
        self.count
    }

    /// `_summary=count` (or `_count=0`): only the total is wanted.
    pub fn is_count_only(&self) -> bool {
        self.count_only
    }

    /// `_total=accurate` or `estimate` was asked, or only the total.
    pub fn wants_total(&self) -> bool {
        self.wants_total || self.count_only
    }

    /// True when nothing restricts the answer but result parameters (a conditional write refuses this).
    pub fn is_unrestricted(&self) -> bool {
        self.criteria.is_empty()
    }

    /// The parameters that were used, encoded as a query string, without paging cursor.
    pub fn self_link(&self) -> String {
        encode_pairs(&self.used)
    }
}

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;
