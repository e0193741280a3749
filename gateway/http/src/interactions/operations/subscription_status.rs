//! Subscription/{id}/$status: how it stands, as the backport of R5's operation has it for R4.
//! <http://hl7.org/fhir/uv/subscriptions-backport/OperationDefinition/backport-subscription-status>

use super::{Asked, instance, parameter, parameters, resource};
use crate::exchange::Answer;
use fhir_mapping::model::{self, Json, Limits};
use gateway_ground::failure::{Category, Failure};

/// Waiting notifications are counted up to here.
const WAITING_MAX: usize = 100_000;

pub(super) async fn answer(asked: Asked) -> Result<Answer, Failure> {
    let key = instance(&asked.target)?;
    let repository = &asked.surface.repository;
    let stored = repository.read(key)?;
    let subscription = model::parse(&stored.body, Limits::default());
    let subscription = subscription.map_err(|issue| Failure::of(Category::Fault, vec![issue]))?;
    let (standing, waiting) = repository
        .standing(stored.rid, WAITING_MAX)?
        .unwrap_or_default();
    let reference = format!("{}/Subscription/{}", asked.exchange.base_url, key.id);
    let status = subscription.str_at(&["status"]).unwrap_or_default();
    let mut list = vec![
        parameter(
            "subscription",
            "valueReference",
            Json::object([("reference", reference.as_str().into())]),
        ),
        parameter("status", "valueCode", status.into()),
        parameter("type", "valueCode", "query-status".into()),
        parameter(
            "events-since-subscription-start",
            "valueString",
            standing.events.to_string().into(),
        ),
        parameter("events-waiting", "valueString", waiting.to_string().into()),
        parameter(
            "failures-in-a-row",
            "valueString",
            standing.tries.to_string().into(),
        ),
    ];
    if let Some(error) = subscription.str_at(&["error"]) {
        let concept = Json::object([("text", error.into())]);
        list.push(parameter("error", "valueCodeableConcept", concept));
    }
    let entry = Json::object([
        ("resource", parameters(list)),
        ("search", Json::object([("mode", "match".into())])),
    ]);
    Ok(resource(&Json::object([
        ("resourceType", "Bundle".into()),
        ("type", "searchset".into()),
        ("total", 1_u64.into()),
        ("entry", Json::array([entry])),
    ])))
}
