//! PUT Type/id: creates or replaces under the client's id; If-Match guards against lost updates.
//! <https://hl7.org/fhir/R4/http.html#update>

use super::create::write_one;
use super::{Surface, answers, content, preconditions};
use crate::failure::Failure;
use crate::http::exchange::{Answer, Exchange};
use crate::repository::{Write, WrittenKind};
use store::ResourceKey;

pub(super) async fn answer(
    surface: &Surface,
    exchange: &Exchange,
    key: ResourceKey,
) -> Result<Answer, Failure> {
    let if_match = preconditions::if_match(&exchange.headers)?;
    let resource = content::json(&exchange.body)?;
    content::check_type(&resource, &key.resource_type)?;
    content::check_id(&resource, &key.id)?;
    content::check(&resource)?;
    let update = Write::Update {
        id: key.id,
        resource,
        if_match,
    };
    let written = write_one(surface, exchange, update).await?;
    let status = if written.kind == WrittenKind::Created {
        201
    } else {
        200
    };
    Ok(answers::written(status, written, &exchange.base_url))
}
