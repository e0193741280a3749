//! The FHIR face of a review: its Task, the Provenance of what became of it, and the tag on a
//! resource that waits.

use super::row::{Row, priority};
use fhir_mapping::conflict::{MergeNote, digest};
use fhir_mapping::model::{Json, Object, Reference, format};
use gateway_ground::clock::format_instant;
use sha2::{Digest, Sha256};
use store::{ResourceKey, VersionId};

/// CodeSystem of our codes in Tasks and Provenances.
const CODES: &str = "urn:wayside:code";

/// CodeSystem of our tags.
const TAGS: &str = "urn:wayside:tag";

/// The tag of a resource whose conflict waits for a person.
const PENDING: &str = "conflict-pending";

/// A Task's id: the same at every site that sees these two contents in conflict. A deletion has none.
pub(crate) fn task_id(key: &ResourceKey, local: Option<&Json>, incoming: Option<&Json>) -> String {
    let content = |resource: Option<&Json>| resource.map(digest).unwrap_or_default();
    let mut contents = [content(local), content(incoming)];
    contents.sort_unstable();
    let mut hash = Sha256::new();
    hash.update(std::format!("{}/{}", key.resource_type, key.id));
    contents.iter().for_each(|content| hash.update(content));
    std::format!("review-{}", hex(&hash.finalize()))
}

/// An open review. Holds references and element names, none of the patient's values.
pub(crate) fn open(row: &Row, key: &ResourceKey, (resource, paths): (&Json, &[String])) -> Json {
    let version = |number: u64| reference(&version_of(key, VersionId(number)));
    let mut inputs = Vec::new();
    inputs.extend(
        row.base
            .map(|base| detail("base", "valueReference", version(base))),
    );
    inputs.push(detail("local", "valueReference", version(row.local)));
    inputs.push(detail("incoming", "valueReference", version(row.incoming)));
    for other in &row.others {
        inputs.push(detail("incoming-other", "valueReference", version(*other)));
    }
    let target = Json::from(row.target_name.as_str());
    inputs.push(detail("target", "valueString", target));
    for path in paths {
        inputs.push(detail(
            "conflicting-path",
            "valueString",
            path.as_str().into(),
        ));
    }
    let mut task = vec![
        ("resourceType", Json::from("Task")),
        ("id", row.task.as_str().into()),
        ("status", "requested".into()),
        ("businessStatus", concept(row.kind.as_str(), None)),
        ("intent", "order".into()),
        ("priority", priority(row.urgency).into()),
        (
            "code",
            concept("conflict-review", Some("Review of a conflict")),
        ),
        (
            "focus",
            reference(&std::format!("{}/{}", key.resource_type, key.id)),
        ),
    ];
    task.extend(patient_of(resource).map(|patient| ("for", reference(&patient))));
    task.push(("authoredOn", format_instant(row.opened_ms).into()));
    task.push(("input", Json::Array(inputs)));
    Json::object(task)
}

/// How a review ended.
pub(crate) struct Ending<'e> {
    /// `completed` by a person, `cancelled` when a later change made it void.
    pub(crate) status: &'static str,
    pub(crate) who: &'e str,
    pub(crate) time_ms: i64,
    pub(crate) rationale: &'e str,
    /// `local`, `incoming`, `picks`, `edited`, or why it is void.
    pub(crate) choice: &'e str,
    /// Version of the resource that it led to.
    pub(crate) result: Option<String>,
}

/// The Task of a review that is over.
pub(crate) fn end(task: &Json, ending: &Ending<'_>) -> Json {
    let mut ended = task.as_object().cloned().unwrap_or_default();
    let mut outputs = Vec::new();
    if let Some(result) = &ending.result {
        outputs.push(detail(
            "resulting-version",
            "valueReference",
            reference(result),
        ));
    }
    for (name, text) in [
        ("choice", ending.choice),
        ("rationale", ending.rationale),
        ("reviewer", ending.who),
    ] {
        if !text.is_empty() {
            outputs.push(detail(name, "valueString", text.into()));
        }
    }
    ended.set("status", ending.status.into());
    ended.set("lastModified", format_instant(ending.time_ms).into());
    ended.set("output", Json::Array(outputs));
    Json::Object(in_order(ended))
}

/// What a Task says in `input` or `output` under this code.
pub(super) fn said<'t>(task: &'t Json, list: &str, code: &str) -> Option<&'t str> {
    let mut details = task.items(list).iter();
    let found = details.find(|detail| detail.str_at(&["type", "coding", "code"]) == Some(code))?;
    let text = found.get("valueString").and_then(Json::as_str);
    text.or_else(|| found.str_at(&["valueReference", "reference"]))
}

/// The number in `Type/id/_history/n`.
pub(super) fn version_in(reference: &str) -> Option<VersionId> {
    let (_, number) = reference.rsplit_once("/_history/")?;
    number.parse().ok().map(VersionId)
}

/// The Provenance of a version that came out of a conflict.
pub(crate) struct Made<'m> {
    pub(crate) key: &'m ResourceKey,
    pub(crate) version: VersionId,
    pub(crate) sources: Vec<VersionId>,
    pub(crate) base: Option<VersionId>,
    pub(crate) time_ms: i64,
    pub(crate) who: &'m str,
    pub(crate) activity: &'static str,
    pub(crate) rationale: &'m str,
    pub(crate) notes: &'m [MergeNote],
}

/// Id and content of that Provenance.
pub(crate) fn provenance(made: &Made<'_>) -> (ResourceKey, Json) {
    let result = version_of(made.key, made.version);
    let id = std::format!("prov-{}", hex(&Sha256::digest(result.as_bytes())));
    let entity = |role: &'static str, version: VersionId| {
        let what = reference(&version_of(made.key, version));
        Json::object([("role", role.into()), ("what", what)])
    };
    let sources = made
        .sources
        .iter()
        .map(|version| entity("source", *version));
    let base = made.base.map(|base| entity("revision", base));
    let agent = Json::object([("who", Json::object([("display", made.who.into())]))]);
    let mut rules: Vec<&str> = made.notes.iter().map(|note| note.rule).collect();
    rules.sort_unstable();
    rules.dedup();
    let mut provenance = vec![
        ("resourceType", Json::from("Provenance")),
        ("id", id.as_str().into()),
        ("target", Json::array([reference(&result)])),
        ("recorded", format_instant(made.time_ms).into()),
    ];
    if !rules.is_empty() {
        let uri = |rule: &str| Json::from(std::format!("urn:wayside:policy:{rule}"));
        provenance.push(("policy", Json::array(rules.into_iter().map(uri))));
    }
    if !made.rationale.is_empty() {
        let reason = Json::object([("text", made.rationale.into())]);
        provenance.push(("reason", Json::array([reason])));
    }
    provenance.push(("activity", concept(made.activity, None)));
    provenance.push(("agent", Json::array([agent])));
    provenance.push(("entity", Json::array(sources.chain(base))));
    let key = ResourceKey {
        resource_type: "Provenance".to_owned(),
        id,
    };
    (key, Json::object(provenance))
}

/// The body of an audit entry that says by which rules or choice a version came to be.
pub(crate) fn audit(made: &Made<'_>) -> Vec<u8> {
    let number = |version: &VersionId| Json::from(version.0);
    let rule = |note: &MergeNote| {
        let side = if note.took_incoming {
            "incoming"
        } else {
            "local"
        };
        Json::from(std::format!("{} {} {side}", note.path, note.rule))
    };
    let entry = Json::object([
        ("at", format_instant(made.time_ms).into()),
        ("who", made.who.into()),
        ("what", made.activity.into()),
        ("result", version_of(made.key, made.version).into()),
        ("base", Json::array(made.base.iter().map(number))),
        ("from", Json::array(made.sources.iter().map(number))),
        ("rules", Json::array(made.notes.iter().map(rule))),
    ]);
    format(&entry).into_bytes()
}

/// The resource with the tag that a person must decide.
pub(crate) fn tagged(resource: &Json) -> Json {
    let mut tagged = untagged(resource);
    let tag = Json::object([("system", TAGS.into()), ("code", PENDING.into())]);
    if let Some(object) = tagged.as_object_mut() {
        let mut meta = match object.get("meta") {
            Some(Json::Object(meta)) => meta.clone(),
            _ => Object::new(),
        };
        let mut tags = meta
            .get("tag")
            .and_then(Json::as_array)
            .unwrap_or_default()
            .to_vec();
        tags.push(tag);
        meta.set("tag", Json::Array(tags));
        object.set_at(2, "meta", Json::Object(meta));
    }
    tagged
}

/// Does it carry that tag?
pub(crate) fn is_tagged(resource: &Json) -> bool {
    let tags = resource.get("meta").map(|meta| meta.items("tag"));
    tags.unwrap_or_default().iter().any(is_pending)
}

fn is_pending(tag: &Json) -> bool {
    tag.str_at(&["system"]) == Some(TAGS) && tag.str_at(&["code"]) == Some(PENDING)
}

/// The resource without that tag.
pub(crate) fn untagged(resource: &Json) -> Json {
    let mut plain = resource.clone();
    let Some(object) = plain.as_object_mut() else {
        return plain;
    };
    if let Some(Json::Object(meta)) = object.get_mut("meta") {
        if let Some(Json::Array(tags)) = meta.get_mut("tag") {
            tags.retain(|tag| !is_pending(tag));
            if tags.is_empty() {
                meta.remove("tag");
            }
        }
        if meta.is_empty() {
            object.remove("meta");
        }
    }
    plain
}

/// `Patient/id` that a resource is about.
pub(super) fn patient_of(resource: &Json) -> Option<String> {
    if resource.resource_type() == Some("Patient") {
        return resource.id().map(|id| std::format!("Patient/{id}"));
    }
    let subjects = ["patient", "subject", "beneficiary", "for"];
    let texts = subjects
        .iter()
        .filter_map(|name| resource.str_at(&[name, "reference"]));
    texts
        .filter(|text| {
            matches!(
                Reference::parse(text),
                Reference::Literal {
                    resource_type: "Patient",
                    ..
                }
            )
        })
        .map(str::to_owned)
        .next()
}

/// `Type/id/_history/n`
pub(crate) fn version_of(key: &ResourceKey, version: VersionId) -> String {
    std::format!("{}/{}/_history/{}", key.resource_type, key.id, version.0)
}

fn reference(to: &str) -> Json {
    Json::object([("reference", to.into())])
}

fn concept(code: &str, display: Option<&str>) -> Json {
    let mut coding = vec![("system", Json::from(CODES)), ("code", code.into())];
    coding.extend(display.map(|display| ("display", display.into())));
    Json::object([("coding", Json::array([Json::object(coding)]))])
}

fn detail(name: &str, value_name: &'static str, value: Json) -> Json {
    Json::object([("type", concept(name, None)), (value_name, value)])
}

/// Members in the order of the definition of Task, `output` last.
fn in_order(mut task: Object) -> Object {
    if let Some(input) = task.remove("input") {
        let output = task.remove("output");
        task.set("input", input);
        if let Some(output) = output {
            task.set("output", output);
        }
    }
    task
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().take(16).map(|byte| std::format!("{byte:02x}"));
    digits.collect()
}

#[cfg(test)]
mod tests {
    use super::super::row::ReviewKind;
    use super::*;
    use fhir_mapping::model::{Limits, parse};
    use fhir_mapping::validate::structure;

    fn json(text: &str) -> Json {
        parse(text.replace('\'', "\"").as_bytes(), Limits::default()).unwrap()
    }

    fn key() -> ResourceKey {
        ResourceKey {
            resource_type: "MedicationRequest".to_owned(),
            id: "m".to_owned(),
        }
    }

    fn row() -> Row {
        Row {
            task: "review-1".to_owned(),
            target: 1,
            target_name: "national".to_owned(),
            kind: ReviewKind::EditEdit,
            base: Some(1),
            local: 2,
            incoming: 3,
            shown: 4,
            others: vec![5],
            opened_ms: 1_000,
            urgency: 1,
        }
    }

    #[test]
    fn what_is_written_for_a_review_is_sound_fhir() {
        let resource =
            json("{'resourceType':'MedicationRequest','subject':{'reference':'Patient/p'}}");
        let paths = ["MedicationRequest.dosageInstruction".to_owned()];
        let task = open(&row(), &key(), (&resource, &paths));
        assert_eq!(structure(&task), []);
        assert_eq!(task.str_at(&["for", "reference"]), Some("Patient/p"));
        assert_eq!(
            said(&task, "input", "local"),
            Some("MedicationRequest/m/_history/2")
        );
        let ending = Ending {
            status: "completed",
            who: "amina",
            time_ms: 2_000,
            rationale: "called the clinic",
            choice: "incoming",
            result: Some("MedicationRequest/m/_history/5".to_owned()),
        };
        let ended = end(&task, &ending);
        assert_eq!(structure(&ended), []);
        assert_eq!(said(&ended, "output", "reviewer"), Some("amina"));
        let notes = [MergeNote {
            path: "MedicationRequest.note".to_owned(),
            rule: "any.note",
            took_incoming: true,
        }];
        let key = key();
        let (_, provenance) = provenance(&Made {
            key: &key,
            version: VersionId(5),
            sources: vec![VersionId(2), VersionId(3)],
            base: Some(VersionId(1)),
            time_ms: 2_000,
            who: "amina",
            activity: "conflict-decision",
            rationale: "called the clinic",
            notes: &notes,
        });
        assert_eq!(structure(&provenance), []);
    }

    #[test]
    fn the_task_is_the_same_at_both_sites() {
        let (a, b) = (
            json("{'resourceType':'Basic','x':1}"),
            json("{'resourceType':'Basic','x':2}"),
        );
        let here = task_id(&key(), Some(&a), Some(&b));
        assert_eq!(here, task_id(&key(), Some(&b), Some(&a)));
        assert_ne!(here, task_id(&key(), Some(&a), None));
        assert!(fhir_mapping::model::is_valid_id(&here));
    }

    #[test]
    fn the_tag_comes_and_goes_without_a_trace() {
        let cases = [
            "{'resourceType':'Basic','id':'a','x':1}",
            "{'resourceType':'Basic','id':'a','meta':{'tag':[{'code':'conflict-pending'}]},'x':1}",
        ];
        for text in cases {
            let plain = json(text);
            let with = tagged(&plain);
            assert_ne!(with, plain);
            assert_eq!(tagged(&with), with);
            assert_eq!(untagged(&with), plain);
        }
    }
}
