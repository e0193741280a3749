//! What every device mapping ends in: resources proposed for storing, with the findings on the way.

use crate::model::{Issue, Json};

/// Resources proposed from one device message.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Draft {
    /// One for each patient the message speaks of.
    pub groups: Vec<PatientGroup>,
    pub issues: Vec<Issue>,
}

/// The resources about one patient. References among them use `urn:uuid:` full URLs or fixed ids.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PatientGroup {
    /// Patient identifiers in the message's order: (system, value).
    pub patient_identifiers: Vec<(String, String)>,
    /// To check an id match.
    pub demographics: Demographics,
    /// Resources with fixed ids (a hash of their business key); `subject` is left out and filled in
    /// once the patient is known.
    pub resources: Vec<Json>,
    /// The message is about a control sample or a test run: never a patient's record.
    pub is_control: bool,
}

/// Who the sender believes the patient to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demographics {
    pub family: Option<String>,
    pub given: Option<String>,
    /// FHIR date, as precise as sent.
    pub birth_date: Option<String>,
    /// Code of administrative-gender; `None` when the word sent is none.
    pub gender: Option<String>,
}
