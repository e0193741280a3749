//! `emr-client BASE [TOKEN]`: registers a patient, writes a result, finds both again.
#![allow(clippy::print_stdout)] // it shows what it does

use examples::emr::Emr;
use examples::web::text;
use serde_json::json;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let Some(base) = words.next() else {
        println!("usage: emr-client http://127.0.0.1:8080/fhir [TOKEN]");
        return ExitCode::from(2);
    };
    match work(&Emr::new(&base, words.next())).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            println!("{reason}");
            ExitCode::FAILURE
        }
    }
}

async fn work(emr: &Emr) -> Result<(), String> {
    let patient = json!({
        "resourceType": "Patient",
        "name": [{"family": "Wanjiru", "given": ["Neema"]}],
        "gender": "female", "birthDate": "1990-07-01",
    });
    let patient = emr.create(&patient).await?;
    println!("created {} version {}", patient.path, patient.version);
    let observation = json!({
        "resourceType": "Observation", "status": "final",
        "subject": {"reference": patient.path},
        "code": {"coding": [{"system": "http://loinc.org", "code": "8310-5"}]},
        "valueQuantity": {"value": 37.2, "unit": "Cel",
            "system": "http://unitsofmeasure.org", "code": "Cel"},
    });
    let observation = emr.create(&observation).await?;
    println!(
        "created {} version {}",
        observation.path, observation.version
    );
    let found = emr
        .search(&format!("Observation?subject={}&code=8310-5", patient.path))
        .await?;
    println!("found {} Observation(s) of {}", found.len(), patient.path);
    let read = emr.read(&patient.path).await?;
    println!(
        "read {} {}",
        text(&read, "/name/0/given/0"),
        text(&read, "/name/0/family")
    );
    if found.len() == 1 {
        Ok(())
    } else {
        Err("one Observation was expected".to_owned())
    }
}
