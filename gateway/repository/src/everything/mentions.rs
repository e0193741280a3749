//! Which resources a stored text refers to, found without parsing it: stored JSON is compact, and a
//! quote inside a text is escaped, so the member's name stands for itself only.

use fhir_mapping::model::Reference;
use store::{ResourceKey, StoredVersion};

/// Members that hold a reference, up to their opening quote.
const MEMBERS: [&str; 2] = ["\"reference\":\"", "\"url\":\"Binary/"];

/// Local targets, repeats included. Of a patient's resources those to other patients are left out
/// (a Group names many), but for the patient's own links.
pub(super) fn of(focus: &ResourceKey, stored: &StoredVersion) -> Vec<ResourceKey> {
    let Ok(text) = std::str::from_utf8(&stored.body) else {
        return Vec::new();
    };
    let is_focus = stored.key == *focus;
    let is_wanted = |name: &str| name != "Patient" || focus.resource_type != "Patient" || is_focus;
    let [reference, binary] = MEMBERS.map(|member| values(text, member));
    let literal = |text: &str| match Reference::parse(text) {
        Reference::Literal {
            base: None,
            resource_type,
            id,
            ..
        } => Some(key(resource_type, id)),
        _ => None,
    };
    let binary = binary.map(|rest| key("Binary", rest.split('/').next().unwrap_or_default()));
    let found = reference.filter_map(literal).chain(binary);
    found.filter(|key| is_wanted(&key.resource_type)).collect()
}

fn values<'a>(text: &'a str, member: &'static str) -> impl Iterator<Item = &'a str> {
    let rests = text.split(member).skip(1);
    rests.filter_map(|rest| rest.split_once('"').map(|(value, _)| value))
}

fn key(resource_type: &str, id: &str) -> ResourceKey {
    ResourceKey {
        resource_type: resource_type.to_owned(),
        id: id.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::{Origin, OriginKind, Rid, Seq, VersionId};

    #[track_caller]
    fn check(of_key: (&str, &str), body: &str, expected: &[&str]) {
        let stored = StoredVersion {
            key: key(of_key.0, of_key.1),
            rid: Rid(1),
            version: VersionId(1),
            seq: Seq(1),
            deleted: false,
            was_head: true,
            making: store::Making::Untold,
            time_ms: 0,
            hlc: 0,
            origin: Origin {
                kind: OriginKind::Client,
                number: 0,
            },
            body: body.as_bytes().to_vec(),
        };
        let found = of(&key("Patient", "p"), &stored);
        let found: Vec<String> = found
            .iter()
            .map(|key| format!("{}/{}", key.resource_type, key.id))
            .collect();
        assert_eq!(found, expected, "{body}");
    }

    #[test]
    fn references_are_found_in_text() {
        let observation = ("Observation", "o");
        check(
            observation,
            r#"{"performer":[{"reference":"Practitioner/1/_history/2"},{"reference":"Organization/2"}]}"#,
            &["Practitioner/1", "Organization/2"],
        );
        check(
            observation,
            r#"{"a":{"reference":"http://other/fhir/Practitioner/1"},"b":{"reference":"\#x"},"c":{"reference":"urn:uuid:1"}}"#,
            &[],
        );
        let quoted = r#"{"text":"\"reference\":\"Practitioner/1\""}"#;
        check(observation, quoted, &[]);
        check(
            observation,
            r#"{"attachment":{"url":"Binary/7"}}"#,
            &["Binary/7"],
        );
    }

    #[test]
    fn other_patients_are_not_told() {
        let group = r#"{"member":[{"entity":{"reference":"Patient/q"}}]}"#;
        check(("Group", "g"), group, &[]);
        let link = r#"{"link":[{"other":{"reference":"Patient/q"}}]}"#;
        check(("Patient", "p"), link, &["Patient/q"]);
    }
}
