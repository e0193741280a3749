//! The morning: patients are loaded, the EMR searches, everything reaches the national server, the
//! analyzer reports.

use super::stage::await_until;
use super::{CLINIC_SYSTEM, Day, Outcome, PATIENT_NUMBER, check, same_content};
use crate::analyzer::{Analyzer, PatientLabel, blood_count};
use crate::patients::{Patients, prescription};
use crate::web::text;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Longest wait until the national server has everything loaded.
const DRAIN_WAIT_MAX: Duration = Duration::from_secs(120);

/// Longest wait from acknowledgement to the Observation.
const RESULT_WAIT_MAX: Duration = Duration::from_secs(10);

impl Day {
    /// Posts all bundles, and the day's own patient with a prescription.
    pub async fn load(&mut self, patients: &Patients) -> Outcome {
        let mut places = BTreeSet::new();
        for bundle in &patients.bundles {
            let paths = self.stage.emr.transaction(bundle).await?;
            let sent = bundle
                .get("entry")
                .and_then(Value::as_array)
                .map_or(0, Vec::len);
            check(
                paths.len() == sent,
                "",
                format!("{} of {sent} entries", paths.len()),
            )?;
            places.extend(paths);
        }
        for path in &places {
            let resource_type = path.split('/').next().unwrap_or_default().to_owned();
            *self.loaded.entry(resource_type).or_default() += 1;
        }
        let patient = json!({
            "resourceType": "Patient",
            "identifier": [{"system": CLINIC_SYSTEM, "value": PATIENT_NUMBER}],
            "name": [{"family": "Otieno", "given": ["Grace"]}],
            "gender": "female", "birthDate": "1985-04-12",
        });
        self.patient = self.stage.emr.create(&patient).await?.path;
        let order = prescription(&self.patient, 5);
        self.prescription = Some(self.stage.emr.create(&order).await?);
        for resource_type in ["Patient", "MedicationRequest"] {
            *self.loaded.entry(resource_type.to_owned()).or_default() += 1;
        }
        let count = places.len() + 2;
        let patients_loaded = self.loaded.get("Patient").copied().unwrap_or(0);
        let source = &patients.source;
        Ok(format!(
            "{count} resources of {patients_loaded} patients ({source}), none refused"
        ))
    }

    /// Counts by type, and finds one patient's results as a doctor would.
    pub async fn search(&self) -> Outcome {
        for (resource_type, expected) in &self.loaded {
            let found = self
                .stage
                .emr
                .search(&format!("{resource_type}?_count=500"))
                .await?;
            let found = found.len();
            let wrong = format!("{found} of {expected} {resource_type} found");
            check(found == *expected, "", wrong)?;
        }
        let by_number = format!("Patient?identifier={CLINIC_SYSTEM}|{PATIENT_NUMBER}");
        let found = self.stage.emr.search(&by_number).await?;
        let is_right = found
            .iter()
            .map(|p| text(p, "/name/0/family"))
            .eq(["Otieno"]);
        check(
            is_right,
            "",
            format!("{by_number}: {} matches", found.len()),
        )?;
        let observations = self.stage.emr.search("Observation?_count=500").await?;
        let subject = observations.first().map(|o| text(o, "/subject/reference"));
        let subject = subject.ok_or("no Observation was loaded")?;
        let expected = observations
            .iter()
            .filter(|o| text(o, "/subject/reference") == subject);
        let expected = expected.count();
        let found = self
            .stage
            .emr
            .search(&format!("Observation?subject={subject}"))
            .await?
            .len();
        check(
            found == expected,
            format!(
                "{} types counted; {subject} has {found} results",
                self.loaded.len()
            ),
            format!("{found} of {expected} results of {subject} found"),
        )
    }

    /// Everything must have arrived, each once.
    pub async fn await_replication(&self) -> Outcome {
        let national = &self.stage.national;
        let expected: usize = self.loaded.values().sum();
        let look = || {
            let count = national.received().len();
            if count >= expected {
                return Ok(());
            }
            let refused = national.refusals();
            let first = refused.first().cloned().unwrap_or_default();
            Err(format!(
                "{count} of {expected} arrived, {} refused {first}",
                refused.len()
            ))
        };
        await_until("replication", DRAIN_WAIT_MAX, look).await?;
        self.compare(&BTreeSet::new()).await
    }

    /// The analyzer reports a result over MLLP; it is acknowledged once it is safe, and soon found.
    pub async fn analyze(&mut self) -> Outcome {
        let before = self.results().await?.len();
        let address = self.stage.mllp().parse();
        let mut analyzer = Analyzer::new(address.map_err(|e| format!("the listener: {e}"))?);
        analyzer.attempts_max = 5;
        let label = PatientLabel {
            id: PATIENT_NUMBER.to_owned(),
            family: "Otieno".to_owned(),
            given: "Grace".to_owned(),
            birth_date: "19850412".to_owned(),
            sex: "F".to_owned(),
            ..PatientLabel::default()
        };
        let result = blood_count(label, "S-0001", "20241124101500+0000");
        let ack = analyzer
            .send_result(&result)
            .await
            .map_err(|e| e.to_string())?;
        let start = tokio::time::Instant::now();
        loop {
            let results = self.results().await?;
            if let [first, ..] = results.as_slice()
                && results.len() >= before + result.measurements.len()
            {
                let hemoglobin = self.hemoglobin().await?;
                let ms = start.elapsed().as_millis();
                let (code, count) = (ack.code, results.len() - before);
                let status = text(first, "/status");
                let wrong = format!("hemoglobin is {hemoglobin}, not 9.1");
                let right = format!("{code}, then {count} {status} results, after {ms} ms");
                return check(hemoglobin == "9.1", right, wrong);
            }
            if start.elapsed() > RESULT_WAIT_MAX {
                return Err(format!(
                    "{} results within 10 s of the acknowledgement",
                    results.len() - before
                ));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn hemoglobin(&self) -> Result<String, String> {
        let query = format!(
            "Observation?subject={}&code=http://loinc.org|718-7",
            self.patient
        );
        let found = self.stage.emr.search(&query).await?;
        let value = found
            .first()
            .and_then(|o| o.pointer("/valueQuantity/value"));
        Ok(value.map(Value::to_string).unwrap_or_default())
    }

    async fn results(&self) -> Result<Vec<Value>, String> {
        self.stage
            .emr
            .search(&format!("Observation?subject={}", self.patient))
            .await
    }

    /// The gateway and the national server hold the same, but for what is held back; whatever came
    /// from the gateway came once for each time it was meant to.
    pub(super) async fn compare(&self, held: &BTreeSet<String>) -> Outcome {
        let here = self.everything_here().await?;
        let there = self.stage.national.received();
        let missing: Vec<&String> = here
            .keys()
            .filter(|path| !there.contains_key(*path))
            .collect();
        check(
            missing.is_empty(),
            "",
            format!("not at the national server: {missing:?}"),
        )?;
        let strange: Vec<&String> = there
            .keys()
            .filter(|path| !here.contains_key(*path))
            .collect();
        check(
            strange.is_empty(),
            "",
            format!("only at the national server: {strange:?}"),
        )?;
        let mut twice = Vec::new();
        for (path, resource) in &here {
            let theirs = self.stage.national.current(path).unwrap_or_default();
            if !held.contains(path) && !same_content(resource, &theirs) {
                return Err(format!("{path} differs at the national server"));
            }
            let versions = self.stage.national.versions(path);
            let repeated = versions.windows(2).any(|pair| {
                let json = |at: usize| pair.get(at).and_then(|v| v.json.as_ref());
                json(0)
                    .zip(json(1))
                    .is_some_and(|(a, b)| same_content(a, b))
            });
            if repeated {
                twice.push(path.clone());
            }
        }
        let count = here.len();
        check(
            twice.is_empty(),
            format!("{count} resources on both sides, equal in content, each change received once"),
            format!("received more than once: {twice:?}"),
        )
    }

    /// All resources of the gateway by `Type/id`, its own books left out.
    async fn everything_here(&self) -> Result<BTreeMap<String, Value>, String> {
        let mut types: BTreeSet<String> = self.loaded.keys().cloned().collect();
        let more = [
            "Condition",
            "DiagnosticReport",
            "Encounter",
            "Observation",
            "Specimen",
            "ServiceRequest",
            "Device",
            "Provenance",
        ];
        types.extend(more.iter().map(|name| (*name).to_owned()));
        let mut all = BTreeMap::new();
        for resource_type in types {
            let found = self
                .stage
                .emr
                .search(&format!("{resource_type}?_count=500"))
                .await?;
            for resource in found
                .into_iter()
                .filter(|resource| !is_bookkeeping(resource))
            {
                all.insert(
                    format!("{resource_type}/{}", text(&resource, "/id")),
                    resource,
                );
            }
        }
        Ok(all)
    }
}

/// What tells how a version came out of a conflict names versions of this site only: it stays.
fn is_bookkeeping(resource: &Value) -> bool {
    text(resource, "/activity/coding/0/code").starts_with("conflict-")
}
