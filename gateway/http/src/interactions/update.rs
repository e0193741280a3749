//! PUT Type/id: creates or replaces under the client's id; If-Match guards against lost updates.
//! PUT Type?criteria: replaces the one match, or creates. <https://hl7.org/fhir/R4/http.html#update>

use super::create::write_one;
use super::{Surface, answers, content, preconditions};
use crate::exchange::{Answer, Exchange};
use fhir_mapping::model::Json;
use fhir_mapping::search::Query;
use gateway_ground::failure::Failure;
use gateway_repository::{Write, WrittenKind, own_id};
use store::{ResourceKey, VersionId};

pub(super) async fn answer(
    surface: &Surface,
    exchange: &Exchange,
    key: ResourceKey,
) -> Result<Answer, Failure> {
    let if_match = preconditions::of_update(&exchange.headers)?;
    let expected = (key.resource_type.as_str(), Some(key.id.as_str()));
    let resource = content::resource(surface, &exchange.body, expected).await?;
    let update = Write::Update {
        id: key.id,
        resource,
        if_match,
    };
    write(surface, exchange, update).await
}

pub(super) async fn answer_where(
    surface: &Surface,
    exchange: &Exchange,
    resource_type: &str,
) -> Result<Answer, Failure> {
    let resource = content::resource(surface, &exchange.body, (resource_type, None)).await?;
    let repository = &surface.repository;
    let query = preconditions::criteria_of(&exchange.query, resource_type, repository)?;
    let if_match = preconditions::of_update(&exchange.headers)?;
    write(surface, exchange, of_matching(resource, query, if_match)).await
}

/// A conditional update: its id is that of the content, or a new one for the case that nothing
/// matches.
pub(super) fn of_matching(resource: Json, query: Query, if_match: Option<VersionId>) -> Write {
    let given = resource.id().map(str::to_owned);
    Write::UpdateWhere {
        is_id_given: given.is_some(),
        id: given.unwrap_or_else(own_id),
        resource,
        query,
        if_match,
    }
}

async fn write(surface: &Surface, exchange: &Exchange, update: Write) -> Result<Answer, Failure> {
    let written = write_one(surface, exchange, update).await?;
    let status = if written.kind == WrittenKind::Created {
        201
    } else {
        200
    };
    Ok(answers::written(status, written, &exchange.base_url))
}
