//! Three-way merge of one resource under the policy table, and a person's decision on what is left.

mod decision;
mod diff;
mod latest;
mod list;
mod policy;
mod resolve;
mod status;

#[cfg(test)]
mod cases;
#[cfg(test)]
mod laws;

pub use decision::carry;
pub use resolve::resolve;

use crate::model::Json;

/// The element-wise verdict on base, local and incoming.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Incoming holds nothing new.
    KeepLocal,
    /// Local did not change since base.
    TakeIncoming,
    /// Both changed, and the policy could merge every element.
    Merged {
        resource: Json,
        notes: Vec<MergeNote>,
    },
    /// At least one critical element differs on both sides: a person decides.
    /// `provisional` is what stays in force: local, with every non-critical change merged in.
    Ask {
        provisional: Json,
        conflicts: Vec<ElementConflict>,
        notes: Vec<MergeNote>,
    },
}

/// One element that a person must decide.
#[derive(Clone, Debug, PartialEq)]
pub struct ElementConflict {
    /// FHIRPath without indexes, as `MedicationRequest.dosageInstruction`.
    pub path: String,
    pub base: Option<Json>,
    pub local: Option<Json>,
    pub incoming: Option<Json>,
    /// The row of the policy table that asked.
    pub rule: &'static str,
}

/// One element that the policy merged by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct MergeNote {
    pub path: String,
    pub rule: &'static str,
    /// True when the incoming value won.
    pub took_incoming: bool,
}

/// Hybrid logical times of both sides, for elements where the latest wins; equal times fall back on
/// the values themselves, so both sites decide alike.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    pub local_hlc: u64,
    pub incoming_hlc: u64,
}

/// Which side a person picked for one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    Local,
    Incoming,
}

/// A person's decision.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// The whole local version stays.
    Local,
    /// The whole incoming version is taken.
    Incoming,
    /// Each conflicting path by itself; a path that is not named makes the decision incomplete.
    Picks(Vec<(String, Pick)>),
    /// The reviewer's own text.
    Edited(Json),
}

/// The resource a decision yields, or the paths that it leaves undecided.
pub fn decide(
    decision: &Decision,
    base: Option<&Json>,
    local: &Json,
    incoming: &Json,
    times: Times,
) -> Result<Json, Vec<String>> {
    decision::decide(decision, base, (local, incoming), times)
}

/// Why the policy has this rule, for people.
pub fn why(rule: &str) -> Option<&'static str> {
    policy::TABLE
        .iter()
        .find(|row| row.rule == rule)
        .map(|row| row.why)
}

/// Equal but for `meta.versionId`, `meta.lastUpdated`, `meta.source`, generated narrative, key order,
/// the order of lists that are sets, and the spelling of a number (`1.10`, `1.1`).
pub fn is_same_content(a: &Json, b: &Json) -> bool {
    diff::is_same_resource(a, b)
}

/// SHA-256 over the content, alike for all resources of the same content.
pub fn digest(resource: &Json) -> [u8; 32] {
    diff::digest(resource)
}

/// Three values of one thing.
#[derive(Clone, Copy, Debug, Default)]
struct Sides<T> {
    base: T,
    local: T,
    incoming: T,
}

impl<T> Sides<T> {
    fn side(&self, side: Pick) -> &T {
        match side {
            Pick::Local => &self.local,
            Pick::Incoming => &self.incoming,
        }
    }

    fn each<'s, U>(&'s self, of: impl Fn(&'s T) -> U) -> Sides<U> {
        Sides {
            base: of(&self.base),
            local: of(&self.local),
            incoming: of(&self.incoming),
        }
    }
}

impl Pick {
    fn other(self) -> Pick {
        match self {
            Pick::Local => Pick::Incoming,
            Pick::Incoming => Pick::Local,
        }
    }
}
