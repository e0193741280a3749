//! `$convert`: a resource in another form: what comes in as JSON or XML goes out as the other
//! headers ask. <https://hl7.org/fhir/R4/resource-operation-convert.html>

use super::{Asked, inputs, resource};
use crate::exchange::Answer;
use crate::interactions::content;
use gateway_ground::failure::Failure;

pub(super) async fn answer(asked: Asked) -> Result<Answer, Failure> {
    asked.inputs.check_known(&["input"])?;
    let input = asked.inputs.resource("input")?;
    let input = input.ok_or_else(|| inputs::missing("input"))?;
    content::check(input)?;
    Ok(resource(input))
}
