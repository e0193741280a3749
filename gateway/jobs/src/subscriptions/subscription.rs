//! A Subscription resource as what it asks for, and the changes of its own status.

use super::channel::Channel;
use fhir_mapping::model::{Json, Object};
use fhir_mapping::search::{Handling, Query, Zone};
use store::{Rid, VersionId};

/// One that can be served.
#[derive(Clone)]
pub(super) struct Subscription {
    pub(super) rid: Rid,
    pub(super) id: String,
    pub(super) version: VersionId,
    pub(super) resource: Json,
    pub(super) query: Query,
    pub(super) resource_type: String,
    pub(super) channel: Channel,
    /// `Subscription.end`, milliseconds since 1970.
    pub(super) end_ms: Option<i64>,
}

impl Subscription {
    /// Reads the resource; the error is for `Subscription.error`.
    pub(super) fn read(
        (rid, version): (Rid, VersionId),
        resource: Json,
        (zone, hosts): (&Zone, &[String]),
    ) -> Result<Subscription, String> {
        let criteria = resource.str_at(&["criteria"]).unwrap_or_default();
        let (resource_type, query) = query(criteria, zone)?;
        let end = resource.str_at(&["end"]);
        Ok(Subscription {
            rid,
            id: resource.id().unwrap_or_default().to_owned(),
            version,
            query,
            resource_type,
            channel: Channel::read(&resource, hosts)?,
            end_ms: end.and_then(|end| Some(end.parse::<jiff::Timestamp>().ok()?.as_millisecond())),
            resource,
        })
    }
}

/// `Observation?code=http://loinc.org|1975-2`, what a resource's own values decide.
fn query(criteria: &str, zone: &Zone) -> Result<(String, Query), String> {
    let (resource_type, pairs) = criteria.split_once('?').unwrap_or((criteria, ""));
    let pairs = pairs.split('&').filter(|pair| !pair.is_empty());
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        let decoded = percent_encoding::percent_decode_str(&text).decode_utf8();
        decoded.ok().map(|decoded| decoded.into_owned())
    };
    let pairs: Option<Vec<(String, String)>> = pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name)?, decode(value)?))
        })
        .collect();
    let pairs = pairs.ok_or("criteria is not UTF-8")?;
    let query = Query::parse(resource_type, &pairs, Handling::Strict, zone);
    let query = query.map_err(|issues| {
        let texts = issues
            .iter()
            .map(|issue| format!("{}: {}", issue.number, issue.text));
        format!("criteria: {}", texts.collect::<Vec<_>>().join("; "))
    })?;
    Ok((resource_type.to_owned(), query))
}

/// The resource with another status, and the reason where there is one.
pub(super) fn with_status(resource: &Json, status: &str, error: Option<&str>) -> Json {
    let mut object = Object::new();
    let members = resource.as_object().into_iter().flat_map(Object::iter);
    for (name, value) in members.filter(|(name, _)| *name != "error") {
        object.set(name, value.clone());
    }
    object.set("status", status.into());
    if let Some(error) = error {
        object.set("error", error.into());
    }
    Json::Object(object)
}
