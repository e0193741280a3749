//! POST Type: a new resource under an id of ours; with If-None-Exist only when nothing matches.
//! Criteria in the URL (`POST Type?identifier=...`) mean the same, as Aidbox and fhirpy have it.
//! <https://hl7.org/fhir/R4/http.html#create>

use super::{Surface, answers, content, preconditions};
use crate::exchange::{Answer, Exchange};
use fhir_mapping::search::Query;
use gateway_ground::failure::Failure;
use gateway_repository::{Repository, Transaction, Write, Written, WrittenKind, own_id};
use http::HeaderMap;

pub(super) async fn answer(
    surface: &Surface,
    exchange: &Exchange,
    resource_type: &str,
) -> Result<Answer, Failure> {
    let resource = content::resource(surface, &exchange.body, (resource_type, None)).await?;
    let repository = &surface.repository;
    let if_none_exist = condition(
        (&exchange.headers, &exchange.query),
        resource_type,
        repository,
    )?;
    let create = Write::Create {
        id: own_id(),
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

/// The criteria of a conditional create, from its header or its URL.
pub(super) fn condition(
    (headers, pairs): (&HeaderMap, &[(String, String)]),
    resource_type: &str,
    repository: &Repository,
) -> Result<Option<Query>, Failure> {
    let by_header = preconditions::if_none_exist(headers, resource_type, repository)?;
    let is_criterion =
        |(name, _): &&(String, String)| !matches!(name.as_str(), "_format" | "_pretty");
    if by_header.is_some() || !pairs.iter().any(|pair| is_criterion(&pair)) {
        return Ok(by_header);
    }
    preconditions::criteria_of(pairs, resource_type, repository).map(Some)
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
