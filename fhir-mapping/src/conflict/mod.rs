//! Three-way merge of one resource under the policy table, and a person's decision on what is left.

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
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// Merges. `base` is `None` when both sides made the resource independently. `meta.versionId`,
/// `meta.lastUpdated`, `meta.source` and a generated narrative are no differences.
pub fn resolve(_base: Option<&Json>, _local: &Json, _incoming: &Json, _times: Times) -> Outcome {
    unimplemented!()
}

/// The resource a decision yields, or the paths that it leaves undecided.
pub fn decide(
    _decision: &Decision,
    _base: Option<&Json>,
    _local: &Json,
    _incoming: &Json,
    _times: Times,
) -> Result<Json, Vec<String>> {
    unimplemented!()
}

/// Equal but for `meta.versionId`, `meta.lastUpdated`, `meta.source`, generated narrative and key order?
pub fn is_same_content(_a: &Json, _b: &Json) -> bool {
    unimplemented!()
}
