//! `fhir-sdk-client BASE [TOKEN]`: the EMR client once more, with somebody else's typed models and
//! HTTP: a stranger's proof that the gateway speaks plain FHIR. Concrete types only: the enum of
//! all resources would take minutes to compile. Its ready-made calls say FHIR 4.3 (R4B);
//! these say R4, so requests are made by `send_custom_request` with headers of their own.
#![allow(clippy::print_stdout)] // it shows what it does

use fhir_sdk::client::{Client, RequestSettings};
use fhir_sdk::r4b::codes::{AdministrativeGender, ObservationStatus};
use fhir_sdk::r4b::resources::{Observation, ObservationValue, Patient};
use fhir_sdk::r4b::types::{CodeableConcept, Coding, HumanName, Reference};
use fhir_sdk::version::FhirR4B;
use fhir_sdk::{HttpClient, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::error::Error;
use std::process::ExitCode;

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

async fn work(base: &str, token: Option<String>) -> Result<(), Box<dyn Error>> {
    let sdk = Sdk {
        client: client(base, token)?,
        base: base.trim_end_matches('/').to_owned(),
    };
    let patient: Patient = sdk.create("Patient", &patient()?).await?;
    let patient_id = patient.id.clone().ok_or("the patient got no id")?;
    println!("created Patient/{patient_id}");
    let observation: Observation = sdk
        .create("Observation", &observation(&patient_id)?)
        .await?;
    println!(
        "created Observation/{}",
        observation.id.as_deref().unwrap_or_default()
    );
    let read: Patient = serde_json::from_value(sdk.get(&format!("Patient/{patient_id}")).await?)?;
    let names = read.name.iter().flatten();
    let families: Vec<&str> = names.filter_map(|name| name.family.as_deref()).collect();
    println!("read Patient/{patient_id}: {families:?}");
    let query = format!("Observation?subject=Patient/{patient_id}&code=8310-5");
    let found = observations(&sdk.get(&query).await?)?;
    println!(
        "found {} Observation(s) of Patient/{patient_id}",
        found.len()
    );
    if found.iter().any(|o| o.id == observation.id) && families == ["Wanjiru"] {
        return Ok(());
    }
    Err("what was written was not found".into())
}

/// The client and its base, without trailing slash.
struct Sdk {
    client: Client<FhirR4B>,
    base: String,
}

const FHIR_JSON: &str = "application/fhir+json";

impl Sdk {
    /// POST; gives the resource as the server stored it.
    async fn create<R: Serialize + DeserializeOwned>(
        &self,
        resource_type: &str,
        resource: &R,
    ) -> Result<R, Box<dyn Error>> {
        let url = format!("{}/{resource_type}", self.base);
        let body = serde_json::to_string(resource)?;
        let request = |web: &HttpClient| {
            let request = web.post(url).header(header::ACCEPT, FHIR_JSON);
            request.header(header::CONTENT_TYPE, FHIR_JSON).body(body)
        };
        let response = self.client.send_custom_request(request).await?;
        Ok(response.error_for_status()?.json().await?)
    }

    async fn get(&self, path: &str) -> Result<Value, Box<dyn Error>> {
        let url = format!("{}/{path}", self.base);
        let request = |web: &HttpClient| web.get(url).header(header::ACCEPT, FHIR_JSON);
        let response = self.client.send_custom_request(request).await?;
        Ok(response.error_for_status()?.json().await?)
    }
}

fn client(base: &str, token: Option<String>) -> Result<Client<FhirR4B>, Box<dyn Error>> {
    let mut settings = RequestSettings::default();
    if let Some(token) = token {
        settings = settings.header(header::AUTHORIZATION, format!("Bearer {token}").parse()?);
    }
    let base = format!("{}/", base.trim_end_matches('/'));
    let client = Client::<FhirR4B>::builder().base_url(base.parse()?);
    Ok(client.request_settings(settings).build()?)
}

fn patient() -> Result<Patient, Box<dyn Error>> {
    let name = HumanName::builder().family("Wanjiru".to_owned());
    let name = name.given(vec![Some("Neema".to_owned())]).build()?;
    let patient = Patient::builder().name(vec![Some(name)]);
    Ok(patient.gender(AdministrativeGender::Female).build()?)
}

fn observation(patient_id: &str) -> Result<Observation, Box<dyn Error>> {
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
        .value(ObservationValue::String("37.2 Cel".to_owned()));
    Ok(observation.build()?)
}

/// The matches of a searchset, each as its own type.
fn observations(bundle: &Value) -> Result<Vec<Observation>, serde_json::Error> {
    let entries = bundle.get("entry").and_then(Value::as_array);
    let resources = entries
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.get("resource"));
    resources
        .map(|resource| serde_json::from_value(resource.clone()))
        .collect()
}
