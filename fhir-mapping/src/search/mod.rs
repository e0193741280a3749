//! Search: what is extracted from a resource, how a request is read, and who matches.
//!
//! The store's posting lists only propose candidates; the one evaluator here decides.

mod definitions;
mod kinds;
mod own;
mod path;
pub mod resemblance;
mod rules;
mod zone;

mod codec;
mod terms;
mod values;

mod asking;
mod codes;
mod condition;
mod criterion;
mod grammar;
mod looks;
mod ordered;
mod query;
mod sort;
mod words;

pub use asking::{Asking, Code, Terminology};
pub use condition::{Branch, Chain, Condition, Has, Hierarchy, reference_terms};
pub use criterion::Criterion;
pub use grammar::results::{Summary, Total};
pub use looks::Looks;
pub use ordered::{DateBucket, DateOrder};
pub use own::{OwnParameter, own_parameters};
pub use query::{Query, encode_pairs};
pub use rules::{Doubt, Rules};
pub use values::SearchValues;
pub use words::Words;
pub use zone::Zone;

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

/// `_include=Type:param[:TargetType]`, or the same of `_revinclude`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Include {
    /// `*`: of any type.
    pub source_type: String,
    /// `*`: every reference parameter, which `SearchValues::references` understands.
    pub parameter: String,
    pub target_type: Option<String>,
    /// Applies to included resources as well.
    pub iterate: bool,
}

/// One parameter as the CapabilityStatement lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Definition {
    pub name: &'static str,
    pub kind: &'static str,
    pub url: &'static str,
    /// Types that a reference may point at; empty means any.
    pub targets: &'static [&'static str],
}

/// Search values of a resource under the official R4 expressions. `_lastUpdated`, `_id` and the
/// other parameters of every resource are read from the resource itself: set `meta` before.
pub fn extract(resource: &Json, zone: &Zone) -> SearchValues {
    SearchValues::extract(resource, zone)
}

/// The period that a FHIR date, dateTime or instant stands for: its first millisecond since 1970 and
/// the first after it. `None` when the text is no such thing.
pub fn period_ms(text: &str, zone: &Zone) -> Option<(i64, i64)> {
    let span = kinds::calendar::parse(text, zone)?;
    let end = span.high.checked_add(999)?.div_euclid(1000);
    Some((span.low.div_euclid(1000), end))
}

/// The official parameters of this type, sorted by name. See `Zone::definitions` for all.
pub fn definitions(resource_type: &str) -> Vec<Definition> {
    let known = definitions::of_type(resource_type);
    known.map_or_else(Vec::new, |d| d.all().map(|(_, p)| definition(p)).collect())
}

fn definition(parameter: &'static definitions::Parameter) -> Definition {
    Definition {
        name: parameter.name,
        kind: parameter.kind.code(),
        url: parameter.url,
        targets: &parameter.targets,
    }
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

    /// `None` when the bytes are of another format version or of other definitions: reindex. Dates
    /// may be those of another zone: see `is_of`.
    pub fn decode(bytes: &[u8], zone: &Zone) -> Option<SearchValues> {
        codec::decode(bytes, zone, None)
    }

    /// The same with the values of these parameters only: for judging by the query that looks at
    /// them and for its sort key, never for terms or to be encoded again.
    pub fn decode_some(bytes: &[u8], zone: &Zone, looks: &Looks) -> Option<SearchValues> {
        codec::decode(bytes, zone, Some(looks))
    }

    /// The same, also of definitions that the site had before, since the program started.
    pub fn decode_former(bytes: &[u8], zone: &Zone) -> Option<SearchValues> {
        SearchValues::decode(bytes, zone).or_else(|| codec::decode_former(bytes))
    }

    /// Were they extracted by the definitions that the site has now?
    pub fn is_current(&self, zone: &Zone) -> bool {
        let now = zone.of_type(&self.resource_type);
        now.map(|d| d.digest) == self.definitions.map(|d| d.digest)
    }

    /// Are dates and times read as in this zone?
    pub fn is_of(&self, zone: &Zone) -> bool {
        self.zone == zone.fingerprint()
    }

    /// The terms to post, sorted, without repeats; the type term is among them.
    pub fn terms(&self) -> Vec<Vec<u8>> {
        terms::of(self)
    }
}

impl Query {
    /// Reads the decoded name-value pairs of a request. Unknown parameters: an error under strict,
    /// left out (and absent from `self_link`) under lenient. `_format`, `_pretty` are always accepted.
    /// An unsupported modifier or a value that cannot be read is an error under both. Asks only what
    /// a resource's own values decide: see `Asking::new`.
    pub fn parse(
        resource_type: &str,
        pairs: &[(String, String)],
        handling: Handling,
        zone: &Zone,
    ) -> Result<Query, Vec<Issue>> {
        Query::parse_with(resource_type, pairs, &Asking::new(handling, zone))
    }

    /// The same within all that the caller can carry out.
    pub fn parse_with(
        resource_type: &str,
        pairs: &[(String, String)],
        asking: &Asking,
    ) -> Result<Query, Vec<Issue>> {
        let Some(parser) = query::Parser::new(resource_type, asking) else {
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

    /// A search over several types: one query for each type that `_type` lists, or for every R4
    /// type. A parameter must be one of all these types; all sort and count alike.
    pub fn parse_system(
        pairs: &[(String, String)],
        asking: &Asking,
    ) -> Result<Vec<Query>, Vec<Issue>> {
        query::parse_system(pairs, asking)
    }

    pub fn resource_type(&self) -> &str {
        &self.resource_type
    }

    /// All of these must hold.
    pub fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    /// Is every condition decided by a resource's own values? Then `matches` is the whole answer.
    pub fn is_own(&self) -> bool {
        self.conditions.iter().all(Condition::is_own)
    }

    /// Lets only resources pass that refer to `Type/id` with one of these reference parameters:
    /// membership of a compartment. Names that the type does not have are left out.
    pub fn restrict_to(&mut self, parameters: &[&str], target: (&str, &str)) {
        self.conditions
            .push(query::refers(&self.resource_type, parameters, target));
    }

    pub fn candidates(&self) -> Candidates {
        let mut all_of: Vec<Vec<Vec<u8>>> = self
            .conditions
            .iter()
            .flat_map(|condition| condition.groups(&self.resource_type))
            .collect();
        if all_of.is_empty() {
            all_of.push(vec![self.resource_type.as_bytes().to_vec()]);
        }
        Candidates { all_of }
    }

    /// Does this resource meet every condition that its own values decide? (Others count as met.)
    pub fn matches(&self, values: &SearchValues) -> bool {
        values.resource_type() == self.resource_type
            && self
                .conditions
                .iter()
                .all(|c| c.known(values) != Some(false))
    }

    /// `None` when the request has no `_sort`: the answer is then in the store's order.
    pub fn sort_key(&self, values: &SearchValues) -> Option<SortKey> {
        (!self.sort.is_empty()).then(|| sort::key(&self.sort, values))
    }

    pub fn includes(&self) -> &[Include] {
        &self.includes
    }

    pub fn rev_includes(&self) -> &[Include] {
        &self.rev_includes
    }

    /// `_count`, if given.
    pub fn count(&self) -> Option<usize> {
        self.count
    }

    /// `_getpagesoffset`, if given: matches to leave out before the first page.
    pub fn offset(&self) -> Option<usize> {
        self.offset
    }

    pub fn summary(&self) -> Summary {
        self.summary
    }

    /// Names of `_elements`; empty when it was not asked.
    pub fn elements(&self) -> &[String] {
        &self.elements
    }

    pub fn total(&self) -> Total {
        self.total
    }

    /// `_summary=count` (or `_count=0`): only the total is wanted.
    pub fn is_count_only(&self) -> bool {
        self.summary == Summary::Count || self.count == Some(0)
    }

    /// `_total=accurate` or `estimate` was asked, or only the total.
    pub fn wants_total(&self) -> bool {
        matches!(self.total, Total::Estimate | Total::Accurate) || self.is_count_only()
    }

    /// True when nothing restricts the answer but result parameters (a conditional write refuses this).
    pub fn is_unrestricted(&self) -> bool {
        self.conditions.is_empty()
    }

    /// The name-value pairs that were understood, in their order.
    pub fn used(&self) -> &[(String, String)] {
        &self.used
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
