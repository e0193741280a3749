//! `$purge` (ours): what belongs to one patient alone is taken away for good, with a certificate;
//! `preview` says beforehand what that is.

use super::{Asked, inputs, instance, parameter, parameters, resource};
use crate::exchange::Answer;
use crate::interactions::aside;
use fhir_mapping::model::Json;
use gateway_ground::clock::format_instant;
use gateway_ground::failure::Failure;
use gateway_repository::{PurgeOrder, PurgeReport};
use std::collections::BTreeMap;

/// Longest reason in bytes.
const REASON_BYTES_MAX: usize = 1000;

pub(super) async fn answer(asked: Asked) -> Result<Answer, Failure> {
    let inputs = &asked.inputs;
    inputs.check_known(&["reason", "preview", "with-unsent"])?;
    let is_preview = inputs.flag("preview")?.unwrap_or(false);
    let reason = match is_preview {
        true => "",
        false => inputs.required_text("reason")?.trim(),
    };
    if !is_preview && !(1..=REASON_BYTES_MAX).contains(&reason.len()) {
        return Err(inputs::wrong("reason", "takes 1 to 1000 bytes of text"));
    }
    let order = PurgeOrder {
        patient: instance(&asked.target)?.id.clone(),
        reason: reason.to_owned(),
        with_unsent: inputs.flag("with-unsent")?.unwrap_or(false),
    };
    let repository = asked.surface.repository.clone();
    if is_preview {
        let report = aside(move || repository.preview_purge(&order)).await?;
        return Ok(resource(&parameters(shown(&report))));
    }
    let actor = &asked.exchange.actor;
    let certificate = repository.purge(actor, order.clone()).await?;
    let patient = format!("Patient/{}", order.patient);
    let mut list = vec![
        parameter("patient", "valueString", patient.into()),
        parameter("reason", "valueString", order.reason.into()),
        parameter("who", "valueString", actor.name.as_str().into()),
    ];
    let ended = format_instant(certificate.ended_ms);
    list.push(parameter("ended", "valueInstant", ended.into()));
    list.extend(shown(&certificate.report));
    let number = certificate.audit_number;
    list.push(parameter(
        "audit-entry",
        "valueString",
        number.to_string().into(),
    ));
    let chain = certificate.audit_chain;
    list.push(parameter("audit-chain", "valueString", chain.into()));
    Ok(resource(&parameters(list)))
}

/// Numbers that may be large are decimals.
fn shown(report: &PurgeReport) -> Vec<Json> {
    let mut list = counted("purged", &report.types);
    list.push(parameter(
        "versions",
        "valueDecimal",
        report.versions.into(),
    ));
    list.push(parameter("bytes", "valueDecimal", report.bytes.into()));
    list.extend(counted("kept", &report.kept));
    list
}

fn counted(name: &str, types: &BTreeMap<String, u64>) -> Vec<Json> {
    let one = |(of_type, count): (&String, &u64)| {
        let parts = [
            parameter("type", "valueCode", of_type.as_str().into()),
            parameter("count", "valueDecimal", (*count).into()),
        ];
        parameter(name, "part", Json::array(parts))
    };
    types.iter().map(one).collect()
}
