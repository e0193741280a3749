//! Structure validation against the R4 definitions: names, types, cardinality, required codes.
//!
//! `walk` goes through a resource beside its definitions, `path` and `fault` say where and what is
//! wrong.

mod fault;
mod invariants;
mod memo;
mod profile;
mod rules;
mod walk;

#[cfg(test)]
mod bounds;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;

pub use profile::{Profile, Profiles, conforms};

use crate::fhirpath::Outside;
use crate::model::{Issue, IssueCode, Json};
use crate::structure::table;

/// Findings about one resource, in document order; empty when it is sound. Checks: `resourceType`
/// known, every element known, JSON type and primitive pattern right, min and max kept, required
/// bindings of codes kept, choice elements given once, primitives' `_` companions sound,
/// no empty objects or arrays, ids valid. Resources inside (contained, Bundle entries, Parameters)
/// are checked by their own type. Stops after [`ISSUES_MAX`] findings.
pub fn structure(resource: &Json) -> Vec<Issue> {
    walk::resource(resource, table::table())
}

/// What only the surroundings know.
#[derive(Clone, Copy, Default)]
pub struct Surroundings<'a> {
    /// The clock of rules that ask it, as a FHIR instant.
    pub now: Option<&'a str>,
    /// Value sets and profiles.
    pub outside: Option<&'a dyn Outside>,
}

/// What came of a full judgement.
pub struct Judgement {
    /// Errors before warnings, each in document order; at most [`ISSUES_MAX`].
    pub issues: Vec<Issue>,
    /// What the rules cost, in steps of [`crate::fhirpath::Budget`].
    pub steps: u64,
}

/// [`structure`], and R4's own invariants and bindings of concepts. Takes a bounded number of
/// steps whatever the resource; a rule that would take more is named as not judged.
pub fn full(resource: &Json, surroundings: Surroundings<'_>) -> Judgement {
    judge(resource, &[], (&Profiles::default(), surroundings))
}

/// [`full`], and the profiles of these URLs as far as they are among `profiles`.
pub fn judge<'a>(
    resource: &'a Json,
    urls: &[String],
    (profiles, surroundings): (&'a Profiles, Surroundings<'a>),
) -> Judgement {
    let mut issues = structure(resource);
    let mut walk = rules::Walk::new(surroundings);
    rules::rules(&mut walk, resource);
    for profile in urls.iter().filter_map(|url| profiles.get(url)) {
        profile::check(&mut walk, resource, (profile, profiles));
    }
    profile::check_extensions(&mut walk, resource, profiles);
    let steps = walk.steps();
    for issue in walk.issues {
        let is_same = |i: &Issue| i.expression == issue.expression && i.code == issue.code;
        if !issues.iter().any(|i| {
            is_same(i) && i.text == issue.text || i.code == IssueCode::Required && is_same(i)
        }) {
            issues.push(issue);
        }
    }
    issues.sort_by_key(|issue| std::cmp::Reverse(issue.severity));
    issues.truncate(ISSUES_MAX);
    Judgement { issues, steps }
}

/// More findings than these help nobody, and would let a bad body make a huge answer.
pub const ISSUES_MAX: usize = 50;

/// True for a resource type of R4.
pub fn is_resource_type(name: &str) -> bool {
    table::table().resource(name).is_some()
}

/// All R4 resource types, sorted.
pub fn resource_types() -> &'static [&'static str] {
    table::table().resource_names()
}
