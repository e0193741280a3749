//! The clinic's patients: Synthea's synthetic bundles where they are at hand, else a small generated
//! set of the same kind. No real person is in either.

use bzip2::read::BzDecoder;
use serde_json::{Value, json};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Largest bundle read, uncompressed.
const BUNDLE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Patients of the generated set.
const GENERATED: usize = 12;

/// Transaction bundles to post in this order.
pub struct Patients {
    /// Where they come from, for people.
    pub source: String,
    pub bundles: Vec<Value>,
}

/// The folder of Synthea bundles beside the repository, if it is there.
pub fn synthea_folder() -> Option<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/synthea");
    let folder = PathBuf::from(folder);
    folder.is_dir().then_some(folder)
}

/// All bundles of the folder; generated ones without a folder.
pub fn patients(folder: Option<&Path>) -> Result<Patients, String> {
    let Some(folder) = folder else {
        return Ok(Patients {
            source: "generated".to_owned(),
            bundles: (1..=GENERATED).map(generated).collect(),
        });
    };
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .map_err(|e| format!("{}: {e}", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.to_string_lossy().contains(".json"))
        .collect();
    // `0-*` come first: the others refer to their organisations and practitioners.
    files.sort();
    let bundles: Result<Vec<Value>, String> = files.iter().map(|file| read(file)).collect();
    Ok(Patients {
        source: "Synthea".to_owned(),
        bundles: bundles?,
    })
}

fn read(file: &Path) -> Result<Value, String> {
    let fault = |e: &dyn std::fmt::Display| format!("{}: {e}", file.display());
    let opened = std::fs::File::open(file).map_err(|e| fault(&e))?;
    let mut text = Vec::new();
    let read = if file.extension().is_some_and(|e| e == "bz2") {
        BzDecoder::new(opened)
            .take(BUNDLE_BYTES_MAX)
            .read_to_end(&mut text)
    } else {
        opened.take(BUNDLE_BYTES_MAX).read_to_end(&mut text)
    };
    read.map_err(|e| fault(&e))?;
    serde_json::from_slice(&text).map_err(|e| fault(&e))
}

/// One patient with a visit, a diagnosis, two results and a prescription.
fn generated(number: usize) -> Value {
    const FAMILIES: [&str; 4] = ["Achieng", "Mwangi", "Okoth", "Wanjiru"];
    const GIVEN: [&str; 3] = ["Amina", "Baraka", "Neema"];
    let pick = |names: &[&'static str]| names.get(number % names.len()).copied().unwrap_or("X");
    let patient = json!({
        "resourceType": "Patient",
        "identifier": [{"system": "urn:example:generated", "value": format!("G{number:04}")}],
        "name": [{"family": pick(&FAMILIES), "given": [pick(&GIVEN)]}],
        "gender": if number.is_multiple_of(2) { "female" } else { "male" },
        "birthDate": format!("{}-{:02}-15", 1950 + number * 4, number % 12 + 1),
    });
    let name = |what: &str| format!("urn:uuid:00000000-0000-4000-8000-{number:04}0000{what}");
    let subject = json!({"reference": name("0001")});
    let encounter = json!({
        "resourceType": "Encounter", "status": "finished", "subject": subject,
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
        "period": {"start": "2024-03-01T08:00:00Z", "end": "2024-03-01T08:30:00Z"},
    });
    let condition = json!({
        "resourceType": "Condition", "subject": subject, "encounter": {"reference": name("0002")},
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "38341003"}],
            "text": "Hypertension"},
    });
    let observation = |code: &str, value: f64, unit: &str| {
        json!({
            "resourceType": "Observation", "status": "final", "subject": subject,
            "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
            "effectiveDateTime": "2024-03-01T08:10:00Z",
            "valueQuantity": {"value": value, "unit": unit,
                "system": "http://unitsofmeasure.org", "code": unit},
        })
    };
    let entries = [
        ("0001", patient),
        ("0002", encounter),
        ("0003", condition),
        ("0004", observation("8480-6", 142.0, "mm[Hg]")),
        ("0005", observation("2339-0", 96.5, "mg/dL")),
        ("0006", prescription("PLACE", 5)),
    ];
    let entry = |(what, mut resource): (&str, Value)| {
        if let Some(reference) = resource.pointer_mut("/subject/reference") {
            *reference = name("0001").into();
        }
        json!({"fullUrl": name(what), "resource": resource,
            "request": {"method": "POST", "url": ""}})
    };
    let mut entries: Vec<Value> = entries.into_iter().map(entry).collect();
    for entry in &mut entries {
        let resource_type = entry.pointer("/resource/resourceType").cloned();
        if let (Some(url), Some(name)) = (entry.pointer_mut("/request/url"), resource_type) {
            *url = name;
        }
    }
    json!({"resourceType": "Bundle", "type": "transaction", "entry": entries})
}

/// A prescription of amlodipine, so many milligrams once a day.
pub fn prescription(subject: &str, dose_mg: u32) -> Value {
    json!({
        "resourceType": "MedicationRequest", "status": "active", "intent": "order",
        "subject": {"reference": subject},
        "medicationCodeableConcept": {
            "coding": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "17767"}],
            "text": "Amlodipine"},
        "dosageInstruction": [{
            "text": format!("{dose_mg} mg once a day"),
            "timing": {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d"}},
            "doseAndRate": [{"doseQuantity": {"value": dose_mg, "unit": "mg",
                "system": "http://unitsofmeasure.org", "code": "mg"}}],
        }],
    })
}

/// Sets the dose of a prescription.
pub fn set_dose(prescription: &mut Value, dose_mg: u32) {
    let text = prescription.pointer_mut("/dosageInstruction/0/text");
    if let Some(text) = text {
        *text = format!("{dose_mg} mg once a day").into();
    }
    let dose = "/dosageInstruction/0/doseAndRate/0/doseQuantity/value";
    if let Some(value) = prescription.pointer_mut(dose) {
        *value = dose_mg.into();
    }
}

/// The dose of a prescription in milligrams.
pub fn dose(prescription: &Value) -> Option<u64> {
    let dose = "/dosageInstruction/0/doseAndRate/0/doseQuantity/value";
    prescription.pointer(dose)?.as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_bundles_hang_together() {
        let patients = patients(None).unwrap();
        assert_eq!(patients.bundles.len(), GENERATED);
        for bundle in &patients.bundles {
            let entries = bundle["entry"].as_array().unwrap();
            assert_eq!(entries.len(), 6);
            let first = &entries[0]["fullUrl"];
            for entry in &entries[1..] {
                assert_eq!(&entry["resource"]["subject"]["reference"], first);
                assert_eq!(entry["request"]["url"], entry["resource"]["resourceType"]);
            }
        }
    }

    #[test]
    fn doses_are_set_in_text_and_number() {
        let mut order = prescription("Patient/p", 5);
        assert_eq!(dose(&order), Some(5));
        set_dose(&mut order, 10);
        assert_eq!(dose(&order), Some(10));
        assert_eq!(order["dosageInstruction"][0]["text"], "10 mg once a day");
    }
}
