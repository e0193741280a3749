//! `$export`: bulk data of the site, of all patients, or of a group's members, as NDJSON.
//! <https://hl7.org/fhir/uv/bulkdata/STU2/export.html>

use super::{Asked, Inputs, Target, inputs};
use crate::exchange::Answer;
use crate::interactions::{jobs, preconditions};
use fhir_mapping::model::{IssueCode, Reference};
use fhir_mapping::search::encode_pairs;
use fhir_mapping::validate::is_resource_type;
use gateway_ground::failure::{Category, Failure};
use gateway_repository::{ExportOrder, JobOrder, Scope};
use store::ResourceKey;

const FORMATS: [&str; 4] = [
    "application/fhir+ndjson",
    "application/fhir ndjson", // a plus sign that was not escaped
    "application/ndjson",
    "ndjson",
];

const FILTERS_MAX: usize = 64;
const PATIENTS_MAX: usize = 1000;
const ELEMENTS_MAX: usize = 1000;
const ASSOCIATED: &str = "includeAssociatedData";

pub(super) async fn answer(asked: Asked) -> Result<Answer, Failure> {
    let inputs = &asked.inputs;
    inputs.check_known(&[
        "_type",
        "_since",
        "_outputFormat",
        "_typeFilter",
        "_elements",
        "patient",
        ASSOCIATED,
    ])?;
    if !preconditions::prefers(&asked.exchange.headers, "respond-async") {
        let text = "an export takes long: ask with Prefer: respond-async";
        let code = IssueCode::Required;
        return Err(Failure::new(Category::Incorrect, "E-EXPORT-1", code, text));
    }
    let format = inputs.text("_outputFormat")?;
    if format.is_some_and(|format| !FORMATS.contains(&format)) {
        return Err(inputs::wrong("_outputFormat", "is application/fhir+ndjson"));
    }
    check_associated(&asked)?;
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
        filters: filters(inputs)?,
        patients: patients(&asked)?,
        elements: elements(inputs)?,
        seq: 0,
        rid_max: 0,
    };
    order.check(asked.surface.repository.zone())?;
    let (repository, actor) = (&asked.surface.repository, &asked.exchange.actor);
    let id = repository
        .start_job(actor, &request(&asked), JobOrder::Export(order))
        .await?;
    Ok(jobs::accepted(&asked.exchange.base_url, &id))
}

/// Provenance of what is exported, which would have to be looked for: an export of the type has it.
fn check_associated(asked: &Asked) -> Result<(), Failure> {
    let is_asked = asked.inputs.text(ASSOCIATED)?.is_some();
    if !is_asked || preconditions::prefers(&asked.exchange.headers, "handling=lenient") {
        return Ok(());
    }
    let text = "is not supported; ask for _type=Provenance, or leave it out";
    Err(inputs::wrong(ASSOCIATED, text))
}

/// Names of root elements, each of all types or of one.
fn elements(inputs: &Inputs) -> Result<Vec<String>, Failure> {
    let names = inputs.texts("_elements")?;
    let is_name = |name: &str| {
        let mut letters = name.chars();
        letters
            .next()
            .is_some_and(|first| first.is_ascii_lowercase())
            && letters.all(|letter| letter.is_ascii_alphanumeric())
    };
    let is_sound = |text: &&str| match text.split_once('.') {
        Some((of_type, name)) => is_resource_type(of_type) && is_name(name),
        None => is_name(text),
    };
    if names.len() > ELEMENTS_MAX || !names.iter().all(is_sound) {
        let text = "takes up to 1000 names of root elements, as name or Patient.name";
        return Err(inputs::wrong("_elements", text));
    }
    Ok(names.into_iter().map(str::to_owned).collect())
}

/// `Type?criteria` each; several in one value are parted at commas that a type follows.
fn filters(inputs: &Inputs) -> Result<Vec<String>, Failure> {
    let mut filters: Vec<String> = Vec::new();
    for text in inputs.texts("_typeFilter")? {
        let name = text.split_once('?').map(|(name, _)| name);
        match (name.is_some_and(is_resource_type), filters.last_mut()) {
            (true, _) => filters.push(text.to_owned()),
            (false, Some(last)) => {
                last.push(',');
                last.push_str(text);
            }
            (false, None) => return Err(inputs::wrong("_typeFilter", "is Type?criteria")),
        }
    }
    match filters.len() {
        0..=FILTERS_MAX => Ok(filters),
        _ => Err(inputs::wrong("_typeFilter", "may be given 64 times")),
    }
}

/// Ids of the patients that are asked for; each must be here.
fn patients(asked: &Asked) -> Result<Vec<String>, Failure> {
    let references = asked.inputs.references("patient")?;
    if references.is_empty() {
        return Ok(Vec::new());
    }
    if asked.target == Target::System {
        let text = "goes with an export of patients or of a group";
        return Err(inputs::wrong("patient", text));
    }
    if references.len() > PATIENTS_MAX {
        return Err(inputs::wrong("patient", "may be given 1000 times"));
    }
    let one = |text: &&str| match Reference::parse(text) {
        Reference::Literal {
            base: None,
            resource_type: "Patient",
            id,
            version: None,
        } => {
            let key = ResourceKey {
                resource_type: "Patient".to_owned(),
                id: id.to_owned(),
            };
            asked.surface.repository.read(&key)?;
            Ok(key.id)
        }
        _ => Err(inputs::wrong("patient", "takes references as Patient/7")),
    };
    references.iter().map(one).collect()
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
