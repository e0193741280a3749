//! A batch: each entry by itself; one that fails harms no other. Entries take effect in the order
//! given, but neighbouring writes to different resources run together and share a commit's sync.
//! <https://hl7.org/fhir/R4/http.html#batch>

use super::bundle_text::BundleText;
use super::entries::{Entry, EntryAnswer, located};
use super::{Surface, answers, preconditions, run};
use crate::exchange::{Answer, Exchange};
use crate::route::Interaction;
use fhir_mapping::model::IssueCode;
use gateway_ground::failure::{Category, Failure};
use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use tokio::task::JoinSet;

/// Writes that run together at most.
const TOGETHER_MAX: usize = 64;

pub(super) async fn answer(
    surface: &Surface,
    exchange: &Exchange,
    entries: Vec<Result<Entry, Failure>>,
) -> Result<Answer, Failure> {
    let count = entries.len();
    let mut batch = Batch {
        with_written: preconditions::prefers(&exchange.headers, "return=representation"),
        running: JoinSet::new(),
        busy: HashSet::new(),
        answers: HashMap::with_capacity(count),
    };
    for (index, entry) in entries.into_iter().enumerate() {
        match entry {
            Ok(entry) => batch.start(surface, exchange, entry).await,
            Err(failure) => batch.fail(index, failure),
        }
    }
    batch.finish_running().await;
    let mut bundle = BundleText::new("batch-response", None, &[]);
    for index in 0..count {
        let answer = batch.answers.remove(&index);
        let answer = answer.unwrap_or_else(|| EntryAnswer::of_failure(&located(stopped(), index)));
        bundle.push(None, &answer.resource, &[("response", answer.response)]);
    }
    Ok(answers::body(bundle.finish()))
}

/// What an entry may run beside.
enum Lane {
    /// Makes something new.
    Any,
    /// Writes this `Type/id`.
    Resource(String),
    /// Sees all that came before: reads, searches, conditional writes.
    Alone,
}

impl Lane {
    fn of(interaction: &Interaction) -> Lane {
        match interaction {
            Interaction::Create { .. } => Lane::Any,
            Interaction::Update { resource_type, id }
            | Interaction::Patch { resource_type, id }
            | Interaction::Delete { resource_type, id } => {
                Lane::Resource(format!("{resource_type}/{id}"))
            }
            _ => Lane::Alone,
        }
    }
}

/// A batch under way.
struct Batch {
    with_written: bool,
    running: JoinSet<(usize, Result<EntryAnswer, Failure>)>,
    /// `Type/id` that running entries write.
    busy: HashSet<String>,
    answers: HashMap<usize, EntryAnswer>,
}

impl Batch {
    async fn start(&mut self, surface: &Surface, outer: &Exchange, entry: Entry) {
        let index = entry.index;
        if matches!(entry.interaction, Interaction::Bundle) {
            return self.fail(index, nested());
        }
        let lane = Lane::of(&entry.interaction);
        let is_free = match &lane {
            Lane::Any => true,
            Lane::Resource(key) => !self.busy.contains(key),
            Lane::Alone => false,
        };
        if !is_free || self.running.len() >= TOGETHER_MAX {
            self.finish_running().await;
        }
        let with_resource = self.with_written || !entry.interaction.is_write();
        let (surface, base_url) = (surface.clone(), outer.base_url.clone());
        let exchange = match entry.exchange(outer) {
            Ok(exchange) => exchange,
            Err(failure) => return self.fail(index, failure),
        };
        self.running.spawn(async move {
            let answer = boxed(surface, exchange).await;
            (
                index,
                answer.map(|answer| EntryAnswer::of_answer(answer, &base_url, with_resource)),
            )
        });
        match lane {
            Lane::Any => {}
            Lane::Resource(key) => drop(self.busy.insert(key)),
            Lane::Alone => self.finish_running().await,
        }
    }

    async fn finish_running(&mut self) {
        while let Some(ended) = self.running.join_next().await {
            match ended {
                Ok((index, Ok(answer))) => drop(self.answers.insert(index, answer)),
                Ok((index, Err(failure))) => self.fail(index, failure),
                // A panic is this entry's fault alone: it gets the answer of `stopped`.
                Err(_panicked) => {}
            }
        }
        self.busy.clear();
    }

    fn fail(&mut self, index: usize, failure: Failure) {
        let answer = EntryAnswer::of_failure(&located(failure, index));
        self.answers.insert(index, answer);
    }
}

/// Named, since a Bundle runs interactions and is one itself.
type Running = Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send>>;

fn boxed(surface: Surface, exchange: Exchange) -> Running {
    Box::pin(async move { run(&surface, exchange).await })
}

fn nested() -> Failure {
    let text = "a Bundle inside a Bundle is not run";
    Failure::new(
        Category::Incorrect,
        "E-BATCH-1",
        IssueCode::NotSupported,
        text,
    )
}

fn stopped() -> Failure {
    let text = "this entry stopped unexpectedly; report it with what was sent";
    Failure::new(Category::Fault, "E-BATCH-2", IssueCode::Exception, text)
}
