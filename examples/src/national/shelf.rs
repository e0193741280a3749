//! What the server holds: all versions of all resources, with their author.

use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Who wrote a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Came over HTTP.
    Outside,
    /// Made at the national server itself.
    National,
}

/// One version; `json` is `None` for a deletion.
#[derive(Clone, Debug)]
pub struct Version {
    pub number: usize,
    pub updated_ms: i64,
    pub by: By,
    pub json: Option<Value>,
}

/// Type and id.
pub(super) type Key = (String, String);

/// All resources.
#[derive(Clone, Default)]
pub(super) struct Shelf {
    resources: BTreeMap<Key, Vec<Version>>,
    last_ms: i64,
    /// Told with every answer, when it tells any; a write meant for another one is refused.
    pub(super) life: Option<String>,
    /// Answers of 4xx other than 404, 409, 410 and 412, as `status reason`: what strictness refused.
    pub(super) refusals: Vec<String>,
}

impl Shelf {
    pub(super) fn versions(&self, key: &Key) -> &[Version] {
        self.resources
            .get(key)
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    pub(super) fn newest(&self, key: &Key) -> Option<&Version> {
        self.versions(key).last()
    }

    /// The resource as it is now; `None` when deleted or unknown.
    pub(super) fn current(&self, key: &Key) -> Option<&Value> {
        self.newest(key)?.json.as_ref()
    }

    /// Adds a version and stamps it.
    pub(super) fn write(&mut self, key: Key, json: Option<Value>, by: By) -> Version {
        self.last_ms = self.last_ms.max(now_ms());
        let versions = self.resources.entry(key).or_default();
        let number = versions.len() + 1;
        let json = json.map(|json| stamped(json, number, self.last_ms));
        let version = Version {
            number,
            updated_ms: self.last_ms,
            by,
            json,
        };
        versions.push(version.clone());
        version
    }

    /// Current resources of a type changed at or after a time, oldest change first, after a place in
    /// that order.
    pub(super) fn changed(
        &self,
        resource_type: &str,
        since_ms: i64,
        after: Option<&(i64, String)>,
    ) -> Vec<(&str, &Version)> {
        let mut found: Vec<(&str, &Version)> = self
            .resources
            .iter()
            .filter(|((t, _), _)| t == resource_type)
            .filter_map(|((_, id), versions)| Some((id.as_str(), versions.last()?)))
            .filter(|(_, version)| version.json.is_some() && version.updated_ms >= since_ms)
            .collect();
        found.sort_by_key(|(id, version)| (version.updated_ms, *id));
        if let Some((ms, id)) = after {
            found.retain(|(i, version)| (version.updated_ms, *i) > (*ms, id.as_str()));
        }
        found
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&Key, &[Version])> {
        self.resources
            .iter()
            .map(|(key, versions)| (key, versions.as_slice()))
    }
}

/// Ids and times are the server's; the rest of `meta` is the client's.
fn stamped(mut json: Value, number: usize, updated_ms: i64) -> Value {
    let meta = json
        .as_object_mut()
        .map(|object| object.entry("meta").or_insert(json!({})));
    if let Some(meta) = meta.and_then(Value::as_object_mut) {
        meta.insert("versionId".to_owned(), number.to_string().into());
        meta.insert("lastUpdated".to_owned(), instant(updated_ms).into());
    }
    json
}

/// `2026-11-24T18:47:41.123Z`.
pub(super) fn instant(ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(ms).unwrap_or_default();
    format!("{time:.3}")
}

#[allow(clippy::disallowed_methods)] // a partner has a clock of its own
fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
