//! A held message as a FHIR Task, so that a person sees it where all open work is seen. It names
//! reasons and candidates, never a patient's values: those stay in the raw message.

use super::attribute::Attribution;
use super::stored::{Intake, IntakeSeq};
use fhir_mapping::model::Json;
use gateway_ground::clock::format_instant;
use uuid::Uuid;

/// The Task's id: fixed by the message, and no other site's.
pub(super) fn task_id(digest: &[u8]) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, digest).to_string()
}

/// The open Task of a held message.
pub(super) fn open(intake: &Intake, seq: IntakeSeq, attribution: &Attribution) -> Json {
    let reasons: Vec<String> = attribution
        .held
        .iter()
        .map(|issue| format!("{}: {}", issue.number, issue.text))
        .collect();
    let priority = if attribution.is_critical {
        "urgent"
    } else {
        "routine"
    };
    let received = format_instant(intake.head.received_ms);
    let candidate = |key: &store::ResourceKey| {
        let reference = format!("{}/{}", key.resource_type, key.id);
        Json::object([
            ("type", Json::object([("text", "candidate patient".into())])),
            (
                "valueReference",
                Json::object([("reference", reference.into())]),
            ),
        ])
    };
    let mut task = vec![
        ("resourceType", "Task".into()),
        ("identifier", Json::array([identifier(seq)])),
        ("status", "on-hold".into()),
        (
            "statusReason",
            Json::object([("text", reasons.join("; ").into())]),
        ),
        ("intent", "order".into()),
        ("priority", priority.into()),
        ("code", code()),
        ("description", description(&intake.head.connection).into()),
        ("authoredOn", received.into()),
    ];
    if !attribution.candidates.is_empty() {
        let candidates = attribution.candidates.iter().map(candidate);
        task.push(("input", Json::array(candidates)));
    }
    Json::object(task)
}

/// The same Task once the message found its place.
pub(super) fn closed(mut task: Json) -> Json {
    if let Some(object) = task.as_object_mut() {
        object.set("status", "completed".into());
        drop(object.remove("statusReason"));
    }
    task
}

fn identifier(seq: IntakeSeq) -> Json {
    Json::object([
        ("system", "urn:wayside:intake".into()),
        ("value", seq.to_string().into()),
    ])
}

fn code() -> Json {
    let coding = Json::object([
        ("system", "urn:wayside:code".into()),
        ("code", "held-message".into()),
    ]);
    Json::object([("coding", Json::array([coding]))])
}

fn description(connection: &str) -> String {
    format!("A message of the device connection {connection} waits for a person")
}
