//! GET Type/id: the newest version, byte for byte as stored.
//! <https://hl7.org/fhir/R4/http.html#read>

use super::{Surface, answers, preconditions};
use crate::failure::Failure;
use crate::http::exchange::{Answer, Exchange};
use store::ResourceKey;

pub(super) fn answer(
    surface: &Surface,
    exchange: &Exchange,
    key: &ResourceKey,
) -> Result<Answer, Failure> {
    let stored = surface.repository.read(key)?;
    if preconditions::is_fresh(&exchange.headers, stored.version, stored.time_ms) {
        return Ok(answers::empty(304, Some((stored.version, stored.time_ms))));
    }
    Ok(answers::stored(stored))
}
