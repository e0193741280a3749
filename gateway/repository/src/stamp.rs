//! A resource ready to be stored but for its version number and time, which only the writing
//! transaction knows: text with two gaps, and the search values. Made before the transaction, so
//! that the writer thread copies bytes instead of walking trees.

use super::urgency;
use fhir_mapping::model::{Json, format};
use fhir_mapping::search::{SearchValues, Zone, extract};
use gateway_ground::clock::format_instant;
use store::{Urgency, VersionId};

/// Content without `meta.versionId` and `meta.lastUpdated`; the other members of `meta` are content.
#[derive(Clone, Debug)]
pub(super) struct Unstamped {
    /// Up to the version number, between the two gaps, and after the time.
    parts: [String; 3],
    values: SearchValues,
    urgency: Urgency,
}

impl Unstamped {
    /// The id must be set in the resource. Members come out in their order, with `resourceType`,
    /// `id` and `meta` first.
    pub(super) fn new(resource: &Json, zone: &Zone) -> Unstamped {
        Unstamped {
            parts: parts(resource),
            values: extract(resource, zone),
            urgency: urgency::of(resource),
        }
    }

    /// Search values without the time.
    pub(super) fn values(&self) -> &SearchValues {
        &self.values
    }

    pub(super) fn urgency(&self) -> Urgency {
        self.urgency
    }

    /// Search values as of `time_ms`.
    pub(super) fn values_at(&self, time_ms: i64) -> SearchValues {
        let mut values = self.values.clone();
        values.set_last_updated(time_ms);
        values
    }

    /// The exact JSON text as this version.
    pub(super) fn body(&self, version: VersionId, time_ms: i64) -> Vec<u8> {
        let [before, between, after] = &self.parts;
        let number = version.0.to_string();
        let time = format_instant(time_ms);
        [
            before.as_str(),
            number.as_str(),
            between.as_str(),
            time.as_str(),
            after.as_str(),
        ]
        .concat()
        .into_bytes()
    }
}

fn parts(resource: &Json) -> [String; 3] {
    let mut before = String::from("{");
    for name in ["resourceType", "id"] {
        if let Some(value) = resource.get(name) {
            push_member(name, value, &mut before);
            before.push(',');
        }
    }
    before.push_str("\"meta\":{\"versionId\":\"");
    let mut after = String::with_capacity(1024);
    after.push('"');
    push_rest(
        resource.get("meta"),
        &["versionId", "lastUpdated"],
        &mut after,
    );
    after.push('}');
    push_rest(Some(resource), &["resourceType", "id", "meta"], &mut after);
    after.push('}');
    [before, "\",\"lastUpdated\":\"".to_owned(), after]
}

/// Every member but those named (and their `_` companions), each after a comma.
fn push_rest(value: Option<&Json>, but: &[&str], out: &mut String) {
    let Some(object) = value.and_then(Json::as_object) else {
        return;
    };
    for (name, value) in object.iter() {
        if !but.contains(&name.strip_prefix('_').unwrap_or(name)) {
            out.push(',');
            push_member(name, value, out);
        }
    }
}

fn push_member(name: &str, value: &Json, out: &mut String) {
    out.push_str(&format(&Json::from(name)));
    out.push(':');
    out.push_str(&format(value));
}

#[cfg(test)]
mod tests {
    use super::*;
    use fhir_mapping::model::{Limits, parse};

    fn check(resource: &str, expected: &str) {
        let tree = parse(resource.as_bytes(), Limits::default()).unwrap();
        let [before, between, after] = parts(&tree);
        assert_eq!(
            std::format!("{before}7{between}T{after}"),
            expected.replace('\n', "")
        );
    }

    #[test]
    fn meta_is_stamped_and_all_else_kept() {
        check(
            r#"{"resourceType":"Patient","id":"a","active":true}"#,
            r#"{"resourceType":"Patient","id":"a","meta":{"versionId":"7","lastUpdated":"T"},"active":true}"#,
        );
        check(
            r#"{"active":true,"meta":{"lastUpdated":"x","tag":[{"code":"t"}],"versionId":"3"},"id":"a","resourceType":"Patient"}"#,
            r#"{"resourceType":"Patient","id":"a","meta":{"versionId":"7","lastUpdated":"T","tag":[{"code":"t"}]},"active":true}"#,
        );
        check(
            r#"{"resourceType":"Basic","id":"d","valueDecimal":1.00,"meta":{"_versionId":{"id":"q"}}}"#,
            r#"{"resourceType":"Basic","id":"d","meta":{"versionId":"7","lastUpdated":"T"},"valueDecimal":1.00}"#,
        );
    }
}
