//! DELETE Type/id: a version that says "deleted"; history stays. Deleting what is not there succeeds.
//! DELETE Type?criteria: the one match, or all when the site allows several.
//! <https://hl7.org/fhir/R4/http.html#delete>

use super::create::write_one;
use super::{Surface, answers, preconditions};
use crate::exchange::{Answer, Exchange};
use gateway_ground::failure::Failure;
use gateway_repository::Write;
use store::ResourceKey;

pub(super) async fn answer(
    surface: &Surface,
    exchange: &Exchange,
    key: ResourceKey,
) -> Result<Answer, Failure> {
    let if_match = preconditions::if_match(&exchange.headers)?;
    let written = write_one(surface, exchange, Write::Delete { key, if_match }).await?;
    let version = Some((written.version, written.time_ms));
    let version = version.filter(|(version, _)| version.0 > 0);
    Ok(answers::empty(204, version))
}

pub(super) async fn answer_where(
    surface: &Surface,
    exchange: &Exchange,
    resource_type: &str,
) -> Result<Answer, Failure> {
    let repository = &surface.repository;
    let delete = Write::DeleteWhere {
        resource_type: resource_type.to_owned(),
        query: preconditions::criteria_of(&exchange.query, resource_type, repository)?,
        most: surface.conditional_delete_max,
        if_match: preconditions::if_match(&exchange.headers)?,
    };
    write_one(surface, exchange, delete).await?;
    Ok(answers::empty(204, None))
}
