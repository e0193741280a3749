//! POST Type: a new resource under an id of ours; with If-None-Exist only when nothing matches.
//! <https://hl7.org/fhir/R4/http.html#create>

use super::{Surface, answers, content, preconditions};
use crate::failure::Failure;
use crate::http::exchange::{Answer, Exchange};
use crate::repository::{Transaction, Write, Written, WrittenKind};
use uuid::Uuid;

pub(super) async fn answer(
    surface: &Surface,
    exchange: &Exchange,
    resource_type: &str,
) -> Result<Answer, Failure> {
    let resource = content::resource(&exchange.body, resource_type)?;
    let zone = surface.repository.zone();
    let if_none_exist = preconditions::if_none_exist(&exchange.headers, resource_type, zone)?;
    let create = Write::Create {
        id: Uuid::new_v4().to_string(),
        resource,
        if_none_exist,
    };
    let written = write_one(surface, exchange, create).await?;
    let status = if written.kind == WrittenKind::Existed {
        200
    } else {
        201
    };
    Ok(answers::written(status, written, &exchange.base_url))
}

/// One write by itself, as create, update and delete have it.
pub(super) async fn write_one(
    surface: &Surface,
    exchange: &Exchange,
    write: Write,
) -> Result<Written, Failure> {
    let transaction = Transaction {
        actor: exchange.actor.clone(),
        writes: vec![write],
        rows: Vec::new(),
        resolve_conditional_references: false,
    };
    let outcome = surface.repository.write(transaction).await;
    let (written, _) = outcome.map_err(|(_, failure)| failure)?;
    written.into_iter().next().ok_or_else(|| {
        let text = "a write gave no outcome".to_owned();
        store::StoreError::Invalid(text).into()
    })
}
