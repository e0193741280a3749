//! GET Type/id/_history/n: one version, those kept aside in a conflict included.
//! <https://hl7.org/fhir/R4/http.html#vread>

use super::{Surface, read};
use crate::exchange::{Answer, Exchange};
use fhir_mapping::model::IssueCode;
use gateway_ground::failure::{Category, Failure};
use store::{ResourceKey, VersionId};

pub(super) fn answer(
    surface: &Surface,
    exchange: &Exchange,
    (key, version): (&ResourceKey, &str),
) -> Result<Answer, Failure> {
    let number = version.parse().map_err(|_not_a_number| {
        let text = "versions are whole numbers here, counting from 1";
        Failure::new(Category::NotFound, "E-VREAD-1", IssueCode::NotFound, text)
    })?;
    let stored = surface.repository.vread(key, VersionId(number))?;
    read::shown(exchange, stored)
}
