//! A batch: each entry by itself, in the order given; one that fails harms no other.
//! <https://hl7.org/fhir/R4/http.html#batch>

use super::bundle_text::BundleText;
use super::entries::{Entry, EntryAnswer, located};
use super::{Surface, answers, preconditions, run};
use crate::failure::{Category, Failure};
use crate::http::exchange::{Answer, Exchange};
use crate::http::route::Interaction;
use fhir_mapping::model::IssueCode;

pub(super) async fn answer(
    surface: &Surface,
    exchange: &Exchange,
    entries: Vec<Result<Entry, Failure>>,
) -> Result<Answer, Failure> {
    let with_written = preconditions::prefers(&exchange.headers, "return=representation");
    let mut bundle = BundleText::new("batch-response", None, &[]);
    for (index, entry) in entries.into_iter().enumerate() {
        let answer = match entry {
            Ok(entry) => run_entry(surface, exchange, (entry, with_written)).await,
            Err(failure) => Err(failure),
        };
        let answer =
            answer.unwrap_or_else(|failure| EntryAnswer::of_failure(&located(failure, index)));
        bundle.push(None, &answer.resource, &[("response", answer.response)]);
    }
    Ok(answers::body(bundle.finish()))
}

async fn run_entry(
    surface: &Surface,
    outer: &Exchange,
    (entry, with_written): (Entry, bool),
) -> Result<EntryAnswer, Failure> {
    if entry.interaction == Interaction::Bundle {
        let text = "a Bundle inside a Bundle is not run";
        return Err(Failure::new(
            Category::Incorrect,
            "E-BATCH-1",
            IssueCode::NotSupported,
            text,
        ));
    }
    let with_resource = with_written || !entry.interaction.is_write();
    let answer = Box::pin(run(surface, entry.exchange(outer))).await?;
    Ok(EntryAnswer::of_answer(answer, with_resource))
}
