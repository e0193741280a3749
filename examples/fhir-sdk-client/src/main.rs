//! `fhir-sdk-client BASE [TOKEN]`: an EMR on somebody else's typed models and HTTP, by its ready-made
//! calls alone: create, read, update, conflict, patch, search over pages, delete. A stranger's proof
//! that the gateway speaks plain FHIR. The library asks for R4B and is answered R4. Prints each
//! action that came out right.
#![allow(clippy::print_stdout)] // it shows what it does

use fhir_sdk::client::{
    Client, Error as Refusal, RequestSettings, ResourceWrite, SearchParameters, TokenSearch,
};
use fhir_sdk::r4b::codes::{AdministrativeGender, ObservationStatus};
use fhir_sdk::r4b::resources::{Observation, ObservationValue, Patient, ResourceType};
use fhir_sdk::r4b::types::{CodeableConcept, Coding, HumanName, Identifier, Reference};
use fhir_sdk::version::FhirR4B;
use fhir_sdk::{StatusCode, TryStreamExt, header};
use std::error::Error;
use std::process::ExitCode;

type Sdk = Client<FhirR4B>;
type Played<T> = Result<T, Box<dyn Error>>;

/// More than two pages of three.
const READINGS: usize = 7;

#[tokio::main]
async fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let Some(base) = words.next() else {
        println!("usage: fhir-sdk-client http://127.0.0.1:8080/fhir [TOKEN]");
        return ExitCode::from(2);
    };
    match Box::pin(work(&base, words.next())).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            println!("{reason}");
            ExitCode::FAILURE
        }
    }
}

async fn work(base: &str, token: Option<String>) -> Played<()> {
    let sdk = client(base, token)?;
    let mut patient = patient()?;
    let id = Box::pin(patient.create(&sdk)).await?;
    println!("create");
    let first = Box::pin(read(&sdk, &id)).await?;
    Box::pin(update(&sdk, first.clone())).await?;
    Box::pin(conflict(&sdk, first)).await?;
    Box::pin(patch(&sdk, &id)).await?;
    Box::pin(search(&sdk, &id)).await?;
    Box::pin(delete(&sdk, &id)).await
}

async fn read(sdk: &Sdk, id: &str) -> Played<Patient> {
    let read = sdk.read::<Patient>(id).await?;
    let read = read.ok_or("what was created is not read")?;
    let names = read.name.iter().flatten();
    let families: Vec<&str> = names.filter_map(|name| name.family.as_deref()).collect();
    hold(families == ["Wanjiru"], "the name came back")?;
    let nobody = sdk.read::<Patient>("nobody").await?;
    hold(nobody.is_none(), "what was never made is not there")?;
    println!("read");
    Ok(read)
}

/// Conditional: `If-Match` with the version that was read.
async fn update(sdk: &Sdk, mut patient: Patient) -> Played<()> {
    patient.active = Some(true);
    let is_new = patient.update(true, sdk).await?;
    hold(!is_new, "an update creates nothing")?;
    let id = patient.id.clone().unwrap_or_default();
    let version = version(&patient).to_owned();
    let second = sdk.read_version::<Patient>(&id, &version).await?;
    let is_active = second.and_then(|patient| patient.active);
    hold(is_active == Some(true), "the version of the update is read")?;
    println!("update");
    Ok(())
}

/// A copy that is older than the update is refused, and changes nothing.
async fn conflict(sdk: &Sdk, mut stale: Patient) -> Played<()> {
    stale.gender = Some(AdministrativeGender::Unknown);
    let status = match stale.update(true, sdk).await {
        Err(Refusal::OperationOutcomeR4B(status, _)) => status,
        Err(other) => return Err(other.into()),
        Ok(_) => return Err("a stale update was taken".into()),
    };
    hold(
        status == StatusCode::PRECONDITION_FAILED,
        "a stale update is a conflict",
    )?;
    let id = stale.id.clone().unwrap_or_default();
    let now = sdk.read::<Patient>(&id).await?.ok_or("it is gone")?;
    let is_female = now.gender == Some(AdministrativeGender::Female);
    hold(is_female, "the stale update changed nothing")?;
    println!("conflict");
    Ok(())
}

/// By JSON Patch, then by FHIRPath Patch.
async fn patch(sdk: &Sdk, id: &str) -> Played<()> {
    let patch = sdk.patch_via_json(ResourceType::Patient, id);
    let patch = patch.test("/active", true)?.replace("/active", false)?;
    patch.send().await?;
    let now = sdk.read::<Patient>(id).await?.ok_or("it is gone")?;
    hold(now.active == Some(false), "a JSON Patch replaces")?;
    let patch = sdk.patch_via_fhir(ResourceType::Patient, id);
    patch.delete("Patient.active").send().await?;
    let now = sdk.read::<Patient>(id).await?.ok_or("it is gone")?;
    hold(now.active.is_none(), "a FHIRPath Patch deletes")?;
    println!("patch");
    Ok(())
}

async fn search(sdk: &Sdk, id: &str) -> Played<()> {
    for number in 0..READINGS {
        observation(id, number)?.create(sdk).await?;
    }
    let code = TokenSearch::Standard {
        name: "code",
        system: Some("http://loinc.org"),
        code: Some("8310-5"),
        not: false,
    };
    let asked = SearchParameters::empty().and(code);
    let asked = asked
        .and_raw("subject", format!("Patient/{id}"))
        .and_raw("_count", 3);
    let page = sdk.search::<Observation>(asked).await?;
    hold(page.matches().count() == 3, "a page is as long as asked")?;
    let all = page.all_matches().try_collect::<Vec<_>>().await?;
    let mut values: Vec<String> = all.iter().filter_map(text).collect();
    values.sort_unstable();
    values.dedup();
    hold(
        all.len() == READINGS && values.len() == READINGS,
        "the pages together are the set",
    )?;
    println!("search");
    for observation in all {
        observation.delete(sdk).await?;
    }
    Ok(())
}

async fn delete(sdk: &Sdk, id: &str) -> Played<()> {
    sdk.delete(ResourceType::Patient, id).await?;
    let gone = sdk.read::<Patient>(id).await?;
    hold(gone.is_none(), "what was deleted is not read")?;
    println!("delete");
    Ok(())
}

fn hold(is_so: bool, what: &str) -> Played<()> {
    is_so
        .then_some(())
        .ok_or_else(|| format!("does not hold: {what}").into())
}

fn version(patient: &Patient) -> &str {
    let meta = patient.meta.as_ref();
    let version = meta.and_then(|meta| meta.version_id.as_deref());
    version.unwrap_or_default()
}

fn text(observation: &Observation) -> Option<String> {
    match &observation.value {
        Some(ObservationValue::String(text)) => Some(text.clone()),
        _ => None,
    }
}

fn client(base: &str, token: Option<String>) -> Played<Sdk> {
    let mut settings = RequestSettings::default();
    if let Some(token) = token {
        settings = settings.header(header::AUTHORIZATION, format!("Bearer {token}").parse()?);
    }
    let base = format!("{}/", base.trim_end_matches('/'));
    let client = Sdk::builder().base_url(base.parse()?);
    Ok(client.request_settings(settings).build()?)
}

fn patient() -> Played<Patient> {
    let name = HumanName::builder().family("Wanjiru".to_owned());
    let name = name.given(vec![Some("Neema".to_owned())]).build()?;
    let identifier = Identifier::builder().system("urn:clinic".to_owned());
    let identifier = identifier.value("sdk-1".to_owned()).build()?;
    let patient = Patient::builder().name(vec![Some(name)]);
    let patient = patient.identifier(vec![Some(identifier)]);
    Ok(patient.gender(AdministrativeGender::Female).build()?)
}

fn observation(patient_id: &str, number: usize) -> Played<Observation> {
    let coding = Coding::builder().system("http://loinc.org".to_owned());
    let coding = coding.code("8310-5".to_owned()).build()?;
    let code = CodeableConcept::builder()
        .coding(vec![Some(coding)])
        .build()?;
    let subject = Reference::builder()
        .reference(format!("Patient/{patient_id}"))
        .build()?;
    let observation = Observation::builder()
        .status(ObservationStatus::Final)
        .code(code)
        .subject(subject)
        .value(ObservationValue::String(format!("37.{number} Cel")));
    Ok(observation.build()?)
}
