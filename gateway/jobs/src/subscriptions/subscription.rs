//! A Subscription resource as what it asks for, and the changes of its own status.

use super::channel::Channel;
use fhir_mapping::model::{IssueCode, Json, Object};
use fhir_mapping::search::{Handling, Query, Terminology};
use gateway_ground::failure::{Category, Failure};
use gateway_repository::Repository;
use store::{Rid, VersionId};

/// One that can be served.
#[derive(Clone)]
pub(super) struct Subscription {
    pub(super) rid: Rid,
    pub(super) id: String,
    pub(super) version: VersionId,
    pub(super) resource: Json,
    pub(super) query: Query,
    /// The criteria mean the same at all times: no value set, hierarchy of codes or nearness to now.
    pub(super) is_lasting: bool,
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
        (repository, hosts): (&Repository, &[String]),
    ) -> Result<Subscription, String> {
        let criteria = resource.str_at(&["criteria"]).unwrap_or_default();
        let query = query(criteria, repository).map_err(|failure| reason(&failure))?;
        let end = resource.str_at(&["end"]);
        Ok(Subscription {
            rid,
            id: resource.id().unwrap_or_default().to_owned(),
            version,
            is_lasting: is_lasting(criteria),
            resource_type: query.resource_type().to_owned(),
            query,
            channel: Channel::read(&resource, hosts)?,
            end_ms: end.and_then(|end| Some(end.parse::<jiff::Timestamp>().ok()?.as_millisecond())),
            resource,
        })
    }
}

impl Subscription {
    /// The criteria as they are to be understood now.
    pub(super) fn read_anew(&self, repository: &Repository) -> Result<Query, Failure> {
        let criteria = self.resource.str_at(&["criteria"]).unwrap_or_default();
        query(criteria, repository)
    }
}

fn is_lasting(criteria: &str) -> bool {
    const PASSING: [&str; 7] = [
        ":in=", ":not-in=", ":above=", ":below=", "=ap", ",ap", "_filter=",
    ];
    !PASSING.iter().any(|part| criteria.contains(part))
}

pub(super) fn reason(failure: &Failure) -> String {
    let issues = failure.issues.iter();
    let texts = issues.map(|issue| format!("{}: {}", issue.number, issue.text));
    format!("criteria: {}", texts.collect::<Vec<_>>().join("; "))
}

/// `Observation?code=http://loinc.org|1975-2`: whatever a search may ask, chains and `_has` too.
fn query(criteria: &str, repository: &Repository) -> Result<Query, Failure> {
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
    let pairs = pairs.ok_or_else(|| {
        let (code, text) = (IssueCode::Value, "it is not UTF-8");
        Failure::new(Category::Incorrect, "E-SUBSCRIPTION-1", code, text)
    })?;
    let asking = repository.asking(Handling::Strict).reaching();
    let parsed = match is_lasting(criteria) {
        true => Query::parse_with(resource_type, &pairs, &asking),
        false => repository.with_terminology(|terminology| {
            let terminology: &dyn Terminology = terminology;
            let asking = asking.with_terminology(terminology);
            Ok(Query::parse_with(resource_type, &pairs, &asking))
        })?,
    };
    parsed.map_err(|issues| Failure::of(Category::Incorrect, issues))
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
