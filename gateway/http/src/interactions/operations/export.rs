//! `$export`: bulk data of the site, of all patients, or of a group's members, as NDJSON.
//! <https://hl7.org/fhir/uv/bulkdata/STU2/export.html>

use super::{Asked, Target, inputs};
use crate::exchange::Answer;
use crate::interactions::{jobs, preconditions};
use fhir_mapping::model::IssueCode;
use fhir_mapping::search::encode_pairs;
use fhir_mapping::validate::is_resource_type;
use gateway_ground::failure::{Category, Failure};
use gateway_repository::{ExportOrder, JobOrder, Scope};

const FORMATS: [&str; 4] = [
    "application/fhir+ndjson",
    "application/fhir ndjson", // a plus sign that was not escaped
    "application/ndjson",
    "ndjson",
];

pub(super) async fn answer(asked: Asked) -> Result<Answer, Failure> {
    let inputs = &asked.inputs;
    inputs.check_known(&["_type", "_since", "_outputFormat"])?;
    if !preconditions::prefers(&asked.exchange.headers, "respond-async") {
        let text = "an export takes long: ask with Prefer: respond-async";
        let code = IssueCode::Required;
        return Err(Failure::new(Category::Incorrect, "E-EXPORT-1", code, text));
    }
    let format = inputs.text("_outputFormat")?;
    if format.is_some_and(|format| !FORMATS.contains(&format)) {
        return Err(inputs::wrong("_outputFormat", "is application/fhir+ndjson"));
    }
    let types = inputs.texts("_type")?;
    if types.iter().any(|name| !is_resource_type(name)) {
        return Err(inputs::wrong("_type", "takes names of R4 resource types"));
    }
    let scope = match &asked.target {
        Target::System => Scope::Site,
        Target::Type(_) => Scope::Patients,
        Target::Instance(key) => {
            asked.surface.repository.read(key)?;
            Scope::Group(key.id.clone())
        }
    };
    let order = ExportOrder {
        scope,
        types: types.into_iter().map(str::to_owned).collect(),
        since_ms: inputs.instant("_since")?,
        seq: 0,
        rid_max: 0,
    };
    let (repository, actor) = (&asked.surface.repository, &asked.exchange.actor);
    let id = repository
        .start_job(actor, &request(&asked), JobOrder::Export(order))
        .await?;
    Ok(jobs::accepted(&asked.exchange, &id))
}

/// The URL as the client asked it.
fn request(asked: &Asked) -> String {
    let path = match &asked.target {
        Target::System => String::new(),
        Target::Type(name) => format!("/{name}"),
        Target::Instance(key) => format!("/{}/{}", key.resource_type, key.id),
    };
    let url = format!("{}{path}/$export", asked.exchange.base_url);
    let pairs = asked.inputs.pairs().into_iter();
    let pairs: Vec<(String, String)> = pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    match pairs.is_empty() {
        true => url,
        false => format!("{url}?{}", encode_pairs(&pairs)),
    }
}
