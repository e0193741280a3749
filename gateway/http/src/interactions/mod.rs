//! One file an interaction; `run` is the door. Beside them: what they share on the way in
//! (content, preconditions) and on the way out (answers, bundle_text).

mod answers;
mod arrange;
mod batch;
mod bundle;
mod bundle_text;
mod capabilities;
mod content;
mod create;
mod delete;
mod door;
mod entries;
mod full_urls;
mod history;
pub(crate) mod jobs;
pub mod operations;
mod patch;
pub(crate) mod preconditions;
mod read;
pub mod search;
mod transaction;
mod update;
mod vread;

#[cfg(test)]
mod tests;

pub use door::{Door, Strictness};

use super::exchange::{Answer, Exchange};
use super::route::Interaction;
use fhir_mapping::model::IssueCode;
use gateway_ground::failure::{Category, Failure};
use gateway_repository::{Repository, Which};
use search::Level;
use std::sync::Arc;
use store::{ResourceKey, StoredVersion};

/// What interactions need besides the request.
#[derive(Clone)]
pub struct Surface {
    pub repository: Repository,
    /// Search page size when `_count` is absent, and its cap.
    pub page_size: usize,
    pub page_size_max: usize,
    /// Most entries of a Bundle.
    pub bundle_entries_max: usize,
    /// Most resources that one conditional delete may take; 1 makes it single.
    pub conditional_delete_max: usize,
    /// Room for searches.
    pub lanes: search::Lanes,
    /// How strict the site is with what comes in.
    pub door: Arc<Door>,
}

/// Runs one interaction. Bundles call it for each entry of a batch. What waits is boxed, so that
/// reading by key, which never does, stays small.
pub async fn run(surface: &Surface, exchange: Exchange) -> Result<Answer, Failure> {
    let asked = &exchange;
    match &exchange.interaction {
        Interaction::Read { resource_type, id } => {
            read::answer(surface, asked, &key(resource_type, id))
        }
        Interaction::Vread {
            resource_type,
            id,
            version,
        } => vread::answer(surface, asked, (&key(resource_type, id), version)),
        Interaction::Capabilities => Box::pin(capabilities::answer(surface, asked)).await,
        Interaction::History { resource_type, id } => {
            history::answer(surface, asked, &key(resource_type, id))
        }
        Interaction::TypeHistory { resource_type } => {
            Box::pin(history::of_many(surface, asked, Some(resource_type))).await
        }
        Interaction::SystemHistory => Box::pin(history::of_many(surface, asked, None)).await,
        Interaction::Search { resource_type } => {
            Box::pin(search::answer(surface, asked, Level::Type(resource_type))).await
        }
        Interaction::SearchSystem => Box::pin(search::answer(surface, asked, Level::System)).await,
        Interaction::SearchCompartment(compartment) => {
            Box::pin(search::answer(
                surface,
                asked,
                Level::Compartment(compartment),
            ))
            .await
        }
        Interaction::Create { resource_type } => {
            Box::pin(create::answer(surface, asked, resource_type)).await
        }
        Interaction::Update { resource_type, id } => {
            Box::pin(update::answer(surface, asked, key(resource_type, id))).await
        }
        Interaction::Delete { resource_type, id } => {
            Box::pin(delete::answer(surface, asked, key(resource_type, id))).await
        }
        Interaction::UpdateWhere { resource_type } => {
            Box::pin(update::answer_where(surface, asked, resource_type)).await
        }
        Interaction::DeleteWhere { resource_type } => {
            Box::pin(delete::answer_where(surface, asked, resource_type)).await
        }
        Interaction::Patch { resource_type, id } => {
            Box::pin(patch::answer(
                surface,
                asked,
                Which::Key(key(resource_type, id)),
            ))
            .await
        }
        Interaction::PatchWhere { resource_type } => {
            let which = patch::which(surface, asked, resource_type)?;
            Box::pin(patch::answer(surface, asked, which)).await
        }
        Interaction::Bundle => Box::pin(bundle::answer(surface, asked)).await,
        Interaction::JobStatus { id } => jobs::status(surface, asked, id),
        Interaction::JobCancel { id } => Box::pin(jobs::cancel(surface, asked, id)).await,
        Interaction::JobFile { id, number } => {
            Box::pin(jobs::file(surface, asked, (id, *number))).await
        }
        Interaction::Operation(call) => Box::pin(operations::answer(surface, asked, call)).await,
    }
}

/// The answer to a read of the whole of a version.
pub(crate) fn whole(stored: StoredVersion) -> Answer {
    answers::stored(stored)
}

fn key(resource_type: &str, id: &str) -> ResourceKey {
    ResourceKey {
        resource_type: resource_type.to_owned(),
        id: id.to_owned(),
    }
}

/// Runs what takes long on a thread that may block, so that short requests are answered meanwhile.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let outcome = tokio::task::spawn_blocking(work).await;
    outcome.unwrap_or_else(|_panicked| {
        let text = "the request stopped unexpectedly; report it with what was sent";
        Err(Failure::new(
            Category::Fault,
            "E-REQUEST-1",
            IssueCode::Exception,
            text,
        ))
    })
}
