//! Patients' records that searches are measured on: many of a hundred resources, a few of five hundred.
#![allow(clippy::unwrap_used)] // a report ends where it cannot go on

use crate::client::Connection;
use std::net::SocketAddr;

/// What a site holds so far.
#[derive(Clone, Copy, Default)]
pub struct Records {
    /// `Patient/p0` and on: each with `OF_ONE - 1` Observations.
    pub patients: u64,
    /// `Patient/w0` and on: each with `OF_WHOLE - 1` Observations.
    wholes: u64,
}

/// Resources of one patient: itself and its Observations.
const OF_ONE: u64 = 100;
/// Resources of one of the patients whose whole record is asked for.
const OF_WHOLE: u64 = 500;
/// How many of those there are.
pub const WHOLES: u64 = 4;
/// Resources in a transaction Bundle of the load.
const BUNDLE_SIZE: usize = 500;

impl Records {
    pub fn resources(&self) -> u64 {
        self.patients * OF_ONE + self.wholes * OF_WHOLE
    }

    /// Loads more until there are about `size` resources.
    pub async fn load(&mut self, address: SocketAddr, size: u64) {
        let mut client = Connection::open(address).await.unwrap();
        let mut entries = Vec::new();
        for number in self.wholes..WHOLES {
            record(&format!("w{number}"), OF_WHOLE, &mut entries);
            send(&mut client, &mut entries).await;
        }
        self.wholes = WHOLES;
        while self.resources() < size {
            record(&format!("p{}", self.patients), OF_ONE, &mut entries);
            self.patients += 1;
            if entries.len() >= BUNDLE_SIZE {
                send(&mut client, &mut entries).await;
            }
        }
        send(&mut client, &mut entries).await;
    }
}

async fn send(client: &mut Connection, entries: &mut Vec<String>) {
    if entries.is_empty() {
        return;
    }
    let body = format!(
        r#"{{"resourceType":"Bundle","type":"transaction","entry":[{}]}}"#,
        entries.join(",")
    );
    let reply = client.send("POST", "/fhir", &[], body).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    entries.clear();
}

fn record(patient: &str, resources: u64, entries: &mut Vec<String>) {
    let number = patient.trim_start_matches('p');
    entries.push(put(
        &format!("Patient/{patient}"),
        &format!(
            r#"{{"resourceType":"Patient","id":"{patient}","identifier":[{{"system":"urn:mrn","value":"{number}"}}],"name":[{{"family":"Juma","given":["N{number}"]}}],"birthDate":"1980-01-01"}}"#
        ),
    ));
    for n in 1..resources {
        let url = format!("Observation/{patient}-{n}");
        entries.push(put(&url, &observation(patient, n)));
    }
}

fn put(url: &str, resource: &str) -> String {
    format!(r#"{{"resource":{resource},"request":{{"method":"PUT","url":"{url}"}}}}"#)
}

/// Made over six years, at hours of day: as many a day as a site of this size would have.
fn observation(patient: &str, n: u64) -> String {
    let code = n % 10;
    let seed = patient
        .bytes()
        .fold(n, |seed, byte| seed.wrapping_mul(31) + u64::from(byte));
    let chance = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
    let (year, month, day) = (2020 + chance % 6, chance / 7 % 12 + 1, chance / 91 % 28 + 1);
    let (hour, minute) = (8 + chance / 2_999 % 10, chance / 31_013 % 60);
    format!(
        r#"{{"resourceType":"Observation","id":"{patient}-{n}","status":"final","category":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory"}}]}}],
"code":{{"coding":[{{"system":"http://loinc.org","code":"c{code}","display":"Glucose [Mass/volume] in Blood"}}],"text":"Glucose"}},
"subject":{{"reference":"Patient/{patient}"}},"effectiveDateTime":"{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:00+03:00",
"performer":[{{"reference":"Practitioner/t{code}"}}],
"valueQuantity":{{"value":{n}.50,"unit":"mg/dL","system":"http://unitsofmeasure.org","code":"mg/dL"}}}}"#
    )
}
