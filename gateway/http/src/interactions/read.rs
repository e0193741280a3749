//! GET Type/id: the newest version, byte for byte as stored; with `_summary` or `_elements` a part of
//! it, marked as such. <https://hl7.org/fhir/R4/http.html#read>

use super::{Surface, answers, preconditions};
use crate::exchange::{Answer, Exchange};
use fhir_mapping::model::{IssueCode, Limits, format, parse};
use fhir_mapping::subset::{Subset, subset};
use gateway_ground::failure::{Category, Failure};
use std::borrow::Cow;
use store::{ResourceKey, StoredVersion};

pub(super) fn answer(
    surface: &Surface,
    exchange: &Exchange,
    key: &ResourceKey,
) -> Result<Answer, Failure> {
    shown(exchange, surface.repository.read(key)?)
}

/// A version as the request wants to see it; 304 when the client has it already.
pub(super) fn shown(exchange: &Exchange, mut stored: StoredVersion) -> Result<Answer, Failure> {
    let wanted = wanted(&exchange.query)?;
    if preconditions::is_fresh(&exchange.headers, stored.version, stored.time_ms) {
        return Ok(answers::empty(304, Some((stored.version, stored.time_ms))));
    }
    if let Some(how) = wanted {
        stored.body = lessened(&stored.body, &how).into_owned();
    }
    Ok(answers::stored(stored))
}

/// A part of a stored resource.
pub(super) fn lessened<'b>(body: &'b [u8], how: &Subset) -> Cow<'b, [u8]> {
    match parse(body, Limits::default()) {
        Ok(tree) => Cow::Owned(format(&subset(&tree, how)).into_bytes()),
        Err(_stored_bodies_parse) => Cow::Borrowed(body),
    }
}

/// `_summary` and `_elements` of the request, if any.
pub(super) fn wanted(query: &[(String, String)]) -> Result<Option<Subset>, Failure> {
    let last = |name: &str| {
        let mut pairs = query.iter().rev();
        let found = pairs.find(|(n, value)| n == name && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    };
    match last("_summary") {
        Some("true") => return Ok(Some(Subset::Summary)),
        Some("text") => return Ok(Some(Subset::Text)),
        Some("data") => return Ok(Some(Subset::Data)),
        Some("false") | None => {}
        Some(_) => {
            let text = "_summary of one resource is true, text, data or false";
            let code = IssueCode::Value;
            return Err(Failure::new(Category::Incorrect, "E-READ-4", code, text));
        }
    }
    let elements = last("_elements").map(|names| {
        let names = names.split(',').map(|name| name.trim().to_owned());
        Subset::Elements(names.filter(|name| !name.is_empty()).collect())
    });
    Ok(elements)
}
