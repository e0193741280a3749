//! DELETE Type/id: a version that says "deleted"; history stays. Deleting what is not there succeeds.
//! <https://hl7.org/fhir/R4/http.html#delete>

use super::create::write_one;
use super::{Surface, answers, preconditions};
use crate::failure::Failure;
use crate::http::exchange::{Answer, Exchange};
use crate::repository::Write;
use store::ResourceKey;

pub(super) async fn answer(
    surface: &Surface,
    exchange: &Exchange,
    key: ResourceKey,
) -> Result<Answer, Failure> {
    let if_match = preconditions::if_match(&exchange.headers)?;
    let written = write_one(surface, exchange, Write::Delete { key, if_match }).await?;
    let version = Some(written.version).filter(|version| version.0 > 0);
    Ok(answers::empty(204, version))
}
