//! Noon: the uplink fails, the clinic goes on, the uplink returns.

use super::stage::await_until;
use super::{Day, Outcome, check};
use crate::emr::Place;
use crate::national::Behaviour;
use crate::patients::prescription;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// Results written while the link is cut.
const RESULTS: usize = 150;

/// Longest wait until all of them have arrived.
const DRAIN_WAIT_MAX: Duration = Duration::from_secs(60);

/// Arrived before the gateway is killed in the middle of sending.
const KILL_AFTER: usize = 20;

impl Day {
    /// Cuts the uplink and goes on working.
    pub async fn work_offline(&mut self) -> Outcome {
        self.stage.national.behave(Behaviour::Cut);
        let before = self.stage.national.received().len();
        let patient = self.patient.clone();
        let visit = json!({
            "resourceType": "Encounter", "status": "in-progress",
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
            "subject": {"reference": patient},
        });
        let visit = self.write(&visit).await?;
        self.write(&json!({
            "resourceType": "Condition", "subject": {"reference": patient},
            "encounter": {"reference": visit.path}, "code": {"text": "Malaria"},
        }))
        .await?;
        self.write(&prescription(&patient, 10)).await?;
        for number in 0..RESULTS {
            self.write(&self.temperature(number)).await?;
        }
        let found = self
            .stage
            .emr
            .search(&format!("MedicationRequest?subject={patient}"))
            .await?;
        check(
            found.len() == 2,
            "",
            format!("{} of 2 prescriptions found", found.len()),
        )?;
        let after = self.stage.national.received().len();
        let count = self.written_offline.len();
        check(
            after == before,
            format!("{count} resources written and searched while the link is cut"),
            format!("{} resources crossed a cut link", after - before),
        )
    }

    fn temperature(&self, number: usize) -> Value {
        let tenths = 360 + number % 30;
        json!({
            "resourceType": "Observation", "status": "final",
            "subject": {"reference": self.patient},
            "code": {"coding": [{"system": "http://loinc.org", "code": "8310-5"}]},
            "valueQuantity": {"value": f64::from(u32::try_from(tenths).unwrap_or(0)) / 10.0,
                "unit": "Cel", "system": "http://unitsofmeasure.org", "code": "Cel"},
            "note": [{"text": format!("reading {number}")}],
        })
    }

    async fn write(&mut self, resource: &Value) -> Result<Place, String> {
        let place = self.stage.emr.create(resource).await?;
        self.written_offline.push(place.clone());
        Ok(place)
    }

    /// kill -9 while changes wait: every acknowledged write must still be there.
    pub async fn kill_with_changes_waiting(&mut self) -> Outcome {
        self.stage.kill_and_restart()?;
        for place in &self.written_offline {
            let path = format!("{}/_history/{}", place.path, place.version);
            self.stage.emr.read(&path).await?;
        }
        let count = self.written_offline.len();
        Ok(format!(
            "killed and restarted; all {count} acknowledged writes are there"
        ))
    }

    /// Restores the uplink; in a day with kills, the gateway dies again while sending.
    pub async fn restore_link(&mut self) -> Outcome {
        self.stage.national.behave(Behaviour::Normal);
        let start = tokio::time::Instant::now();
        if self.kills {
            self.await_arrivals(KILL_AFTER).await?;
            self.stage.kill_and_restart()?;
        }
        self.await_arrivals(self.written_offline.len()).await?;
        let seconds = start.elapsed().as_secs_f32();
        let held: BTreeSet<String> = self.prescription.iter().map(|p| p.path.clone()).collect();
        let same = self.compare(&held).await?;
        Ok(format!("all arrived within {seconds:.1} s; {same}"))
    }

    async fn await_arrivals(&self, wanted: usize) -> Result<(), String> {
        let look = || {
            let there = self.stage.national.received();
            let arrived = self
                .written_offline
                .iter()
                .filter(|p| there.contains_key(&p.path));
            let arrived = arrived.count();
            let refused = self.stage.national.refusals();
            check(
                arrived >= wanted,
                "",
                format!(
                    "{arrived} of {wanted} arrived; refused: {:?}",
                    refused.first()
                ),
            )
            .map(|_| ())
        };
        await_until("sending after the cut", DRAIN_WAIT_MAX, look).await
    }
}
