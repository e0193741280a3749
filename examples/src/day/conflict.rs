//! The afternoon: two doctors changed one prescription while the link was cut. Nobody's dose is
//! lost, nothing is guessed, and an administrator decides.

use super::stage::await_until;
use super::{Day, Outcome, check};
use crate::emr::Place;
use crate::patients::{dose, set_dose};
use crate::web::text;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

/// The dose the clinic's doctor gives, and the one from the national side.
const LOCAL_MG: u32 = 10;
const NATIONAL_MG: u32 = 2;

/// Longest wait for the review to open, and for the decision to arrive.
const WAIT_MAX: Duration = Duration::from_secs(30);

impl Day {
    /// Both sides change the dose of the same prescription while the link is cut.
    pub async fn disagree(&mut self) -> Outcome {
        let seen = self.order()?;
        let mut order = self.stage.emr.read(&seen.path).await?;
        set_dose(&mut order, LOCAL_MG);
        let place = self.stage.emr.update(&order, &seen).await?;
        self.stage
            .national
            .edit(&place.path, |json| set_dose(json, NATIONAL_MG));
        let told = format!("{}: {LOCAL_MG} mg here, {NATIONAL_MG} mg there", place.path);
        self.prescription = Some(place);
        Ok(told)
    }

    fn order(&self) -> Result<Place, String> {
        self.prescription
            .clone()
            .ok_or_else(|| "no prescription was made".to_owned())
    }

    /// The conflict is a Task in the queue; the clinic's dose stays in force; nothing is sent.
    pub async fn review(&self) -> Outcome {
        let order = self.order()?;
        let task = self.open_review(&order).await?;
        let head = self.stage.emr.read(&order.path).await?;
        let here = dose(&head);
        check(
            here == Some(LOCAL_MG.into()),
            "",
            format!("the dose in force is {here:?}"),
        )?;
        let there = self.national_dose(&order);
        check(
            there == Some(NATIONAL_MG.into()),
            format!(
                "Task/{} waits ({}); {LOCAL_MG} mg stays in force here, nothing is sent",
                text(&task, "/id"),
                text(&task, "/priority"),
            ),
            format!("the national server was sent {there:?} before the decision"),
        )
    }

    async fn open_review(&self, order: &Place) -> Result<Value, String> {
        let start = tokio::time::Instant::now();
        loop {
            let mut tasks = self.stage.emr.reviews_of(&order.path).await?;
            if let Some(task) = tasks.pop() {
                let more = tasks.len();
                check(more == 0, "", format!("{more} reviews more than one"))?;
                return Ok(task);
            }
            if start.elapsed() > WAIT_MAX {
                return Err(format!("no review of {} within 30 s", order.path));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn national_dose(&self, order: &Place) -> Option<u64> {
        dose(&self.stage.national.current(&order.path)?)
    }

    /// The administrator decides for the clinic's dose; it becomes the national one as well.
    pub async fn decide(&mut self) -> Outcome {
        let order = self.order()?;
        let task = self.open_review(&order).await?;
        let why = "The patient tolerates 10 mg; confirmed by telephone.";
        self.stage.emr.decide(&task, "local", why).await?;
        let again = self.stage.emr.decide(&task, "incoming", "too late").await;
        check(again.is_err(), "", "a review was decided twice")?;
        let open = self.stage.emr.reviews_of(&order.path).await?;
        check(open.is_empty(), "", "the review is still open")?;
        let look = || {
            let there = self.national_dose(&order);
            let wrong = format!("the national dose is {there:?}");
            check(there == Some(LOCAL_MG.into()), "", wrong).map(|_| ())
        };
        await_until("the decision at the national server", WAIT_MAX, look).await?;
        let versions = self.stage.national.versions(&order.path).len();
        Ok(format!(
            "decided for {LOCAL_MG} mg; the national server has it as version {versions}; a second \
             decision is refused"
        ))
    }

    /// Both doses are in the history, here as well.
    pub async fn history(&self) -> Outcome {
        let order = self.order()?;
        let versions = self.stage.emr.history(&order.path).await?;
        let doses: BTreeSet<u64> = versions.iter().filter_map(dose).collect();
        let expected: BTreeSet<u64> = [5, LOCAL_MG.into(), NATIONAL_MG.into()].into();
        check(
            doses == expected,
            format!(
                "{} versions in history, with doses {doses:?} mg",
                versions.len()
            ),
            format!("the history holds doses {doses:?}"),
        )
    }

    /// At the end of the day both sides are equal, with nothing left out.
    pub async fn close(&self) -> Outcome {
        let start = tokio::time::Instant::now();
        loop {
            match self.compare(&BTreeSet::new()).await {
                Ok(same) => {
                    let refused = self.stage.national.refusals();
                    let wrong = format!("refused on the way: {refused:?}");
                    return check(refused.is_empty(), format!("{same}, none refused"), wrong);
                }
                Err(_still_moving) if start.elapsed() < WAIT_MAX => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                Err(differs) => return Err(differs),
            }
        }
    }
}
