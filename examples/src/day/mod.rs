//! A clinic's day, step by step, each with an outcome that is checked: an EMR works, an analyzer
//! reports, the uplink fails and returns, two doctors disagree, an administrator decides.

mod conflict;
mod offline;
mod online;
mod stage;

pub use stage::Stage;

use crate::emr::Place;
use std::collections::BTreeMap;

/// What the day has made so far.
pub struct Day {
    pub stage: Stage,
    /// Resources by type that the loaded bundles hold.
    loaded: BTreeMap<String, usize>,
    /// The patient of the analyzer and of the prescription: `Patient/id`.
    patient: String,
    /// The prescription that both sides will change.
    prescription: Option<Place>,
    /// Written while the link was cut.
    written_offline: Vec<Place>,
    /// Kill the gateway without warning in the middle.
    pub kills: bool,
}

/// Told to people when right, and why when wrong.
pub type Outcome = Result<String, String>;

/// Identifier system of the clinic's own patient numbers, as the analyzer sends them.
pub const CLINIC_SYSTEM: &str = "urn:example:clinic";

/// Patient number of the day's patient.
pub const PATIENT_NUMBER: &str = "C-4711";

impl Day {
    pub fn new(stage: Stage, kills: bool) -> Day {
        Day {
            stage,
            loaded: BTreeMap::new(),
            patient: String::new(),
            prescription: None,
            written_offline: Vec::new(),
            kills,
        }
    }
}

/// `right` when the condition holds, else `wrong`.
fn check(holds: bool, right: impl Into<String>, wrong: impl Into<String>) -> Outcome {
    if holds {
        Ok(right.into())
    } else {
        Err(wrong.into())
    }
}

/// The same resource, whoever stamped its `meta`.
fn same_content(a: &serde_json::Value, b: &serde_json::Value) -> bool {
    let bare = |json: &serde_json::Value| {
        let mut json = json.clone();
        let meta = json
            .get_mut("meta")
            .and_then(serde_json::Value::as_object_mut);
        if let Some(meta) = meta {
            meta.retain(|name, _| !["versionId", "lastUpdated", "source"].contains(&name.as_str()));
            if meta.is_empty()
                && let Some(object) = json.as_object_mut()
            {
                object.remove("meta");
            }
        }
        json
    };
    bare(a) == bare(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn stamps_are_no_content() {
        let a = json!({"id": "1", "meta": {"versionId": "1", "lastUpdated": "x"}});
        let b = json!({"id": "1"});
        let c = json!({"id": "1", "meta": {"versionId": "1", "tag": [{"code": "t"}]}});
        assert!(same_content(&a, &b));
        assert!(!same_content(&a, &c));
        assert!(!same_content(&a, &json!({"id": "2"})));
    }
}
