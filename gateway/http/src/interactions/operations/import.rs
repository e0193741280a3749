//! `$import`: NDJSON files are fetched and brought in, as a job that is come back to.
//! <https://github.com/smart-on-fhir/bulk-import/blob/master/import-manifest.md>

use super::{Asked, Inputs, inputs};
use crate::exchange::Answer;
use crate::interactions::{jobs, preconditions};
use fhir_mapping::model::{IssueCode, Json};
use fhir_mapping::validate::is_resource_type;
use gateway_ground::failure::{Category, Failure};
use gateway_repository::{ImportInput, ImportOrder, JobOrder};

const FORMATS: [&str; 2] = ["application/fhir+ndjson", "application/ndjson"];
const STORAGES: [&str; 3] = ["https", "http", "file"];
/// What an import does is the same in both: it never locks the site, and takes what is new.
const MODES: [&str; 2] = ["InitialLoad", "IncrementalLoad"];
const INPUTS_MAX: usize = 1000;
const URL_BYTES_MAX: usize = 2000;
/// Lines of one commit, unless fewer are asked for.
const TOGETHER_MAX: usize = 500;

pub(super) async fn answer(asked: Asked) -> Result<Answer, Failure> {
    if !preconditions::prefers(&asked.exchange.headers, "respond-async") {
        let text = "an import takes long: ask with Prefer: respond-async";
        let code = IssueCode::Required;
        return Err(Failure::new(Category::Incorrect, "E-BULK-5", code, text));
    }
    // The manifest of the SMART proposal is plain JSON with the members that the parameters have.
    let given = match asked.inputs.resource("")? {
        Some(manifest) if manifest.resource_type().is_none() => Inputs::of_members(manifest),
        _ => asked.inputs.clone(),
    };
    let order = order(&given)?;
    let sources = &asked.surface.door.sources;
    for input in &order.inputs {
        let place = sources.place(&input.url);
        place.map_err(|why| inputs::wrong("input", &format!("{why} ({})", shown(&input.url))))?;
    }
    let (repository, actor) = (&asked.surface.repository, &asked.exchange.actor);
    let request = format!("{}/$import", asked.exchange.base_url);
    let order = JobOrder::Import(order);
    let id = repository.start_job(actor, &request, order).await?;
    Ok(jobs::accepted(&asked.exchange.base_url, &id))
}

fn order(given: &Inputs) -> Result<ImportOrder, Failure> {
    given.check_known(&[
        "inputFormat",
        "inputSource",
        "input",
        "storageDetail",
        "mode",
    ])?;
    let format = given.required_text("inputFormat")?;
    if !FORMATS.contains(&format) {
        return Err(inputs::wrong("inputFormat", "is application/fhir+ndjson"));
    }
    given.text("inputSource")?;
    if given
        .text("mode")?
        .is_some_and(|mode| !MODES.contains(&mode))
    {
        return Err(inputs::wrong("mode", "is InitialLoad or IncrementalLoad"));
    }
    let mut together = TOGETHER_MAX;
    for detail in given.parts("storageDetail")? {
        detail.check_known(&["type", "maxBatchResourceCount"])?;
        if detail
            .text("type")?
            .is_some_and(|kind| !STORAGES.contains(&kind))
        {
            return Err(inputs::wrong(
                "storageDetail",
                "has the type https, http or file",
            ));
        }
        if let Some(count) = detail.number("maxBatchResourceCount")? {
            together = count.clamp(1, TOGETHER_MAX);
        }
    }
    let files: Result<Vec<ImportInput>, Failure> =
        given.parts("input")?.into_iter().map(input).collect();
    let files = files?;
    match files.len() {
        0 => Err(inputs::missing("input")),
        1..=INPUTS_MAX => Ok(ImportOrder {
            inputs: files,
            together,
        }),
        _ => Err(inputs::wrong("input", "may be given 1000 times")),
    }
}

fn input(part: &Inputs) -> Result<ImportInput, Failure> {
    part.check_known(&["type", "url", "etag"])?;
    let kind = part.text("type")?;
    if kind.is_some_and(|kind| !is_resource_type(kind)) {
        return Err(inputs::wrong("input", "has the type of an R4 resource"));
    }
    let url = part.required_text("url")?;
    if url.len() > URL_BYTES_MAX {
        return Err(inputs::wrong("input", "has a url of at most 2000 bytes"));
    }
    Ok(ImportInput {
        url: url.to_owned(),
        resource_type: kind.map(str::to_owned),
        etag: part.text("etag")?.map(str::to_owned),
    })
}

/// A URL without its query, which may hold a secret.
fn shown(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

/// What came of an import, in the form that Microsoft's FHIR server gave it.
pub(in crate::interactions) fn manifest(
    order: &ImportOrder,
    marks: &[gateway_repository::ImportMark],
    job_url: &str,
) -> (Vec<Json>, Vec<Json>) {
    let (mut taken, mut refused) = (Vec::new(), Vec::new());
    for (number, (input, mark)) in order.inputs.iter().zip(marks).enumerate() {
        for (name, count) in &mark.taken {
            taken.push(Json::object([
                ("type", name.as_str().into()),
                ("count", (*count).into()),
                ("inputUrl", input.url.as_str().into()),
            ]));
        }
        if mark.rejected > 0 {
            refused.push(Json::object([
                ("type", "OperationOutcome".into()),
                ("count", mark.rejected.into()),
                ("inputUrl", input.url.as_str().into()),
                ("url", format!("{job_url}/{number}").into()),
            ]));
        }
    }
    (taken, refused)
}
