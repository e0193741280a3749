//! Long tasks that clients asked for: one loop, one job at a time.

use crate::import::{self, ImportSettings};
use gateway_ground::failure::Failure;
use gateway_repository::{JobState, Repository};
use std::time::Duration;
use tokio::sync::watch;
use uuid::Uuid;

/// How often jobs whose time is over are looked for; also when a missed wake-up is made good.
const LOOK_EVERY: Duration = Duration::from_secs(600);
/// Pause after the store failed us.
const FAULT_PAUSE: Duration = Duration::from_secs(5);

/// Carries out jobs until `stop` turns true. An export that was
/// cut off starts anew, an import goes on where it stood.
pub async fn run(
    settings: ImportSettings,
    repository: Repository,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let stopped = stop.wait_for(|stop| *stop);
        let ended = tokio::select! {
            _stopped = stopped => return,
            ended = all(&settings, &repository) => ended,
        };
        let pause = match ended {
            Ok(()) => LOOK_EVERY,
            Err(failure) => {
                let numbers: Vec<&str> = failure.issues.iter().map(|issue| issue.number).collect();
                tracing::error!("a job cannot be looked for: {}", numbers.join(" "));
                FAULT_PAUSE
            }
        };
        let stopped = stop.wait_for(|stop| *stop);
        tokio::select! {
            _stopped = stopped => return,
            () = repository.job_asked() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn all(settings: &ImportSettings, repository: &Repository) -> Result<(), Failure> {
    repository.expire_jobs().await?;
    while let Some(id) = repository.next_job()? {
        let ended = match repository.import_order(&id)? {
            Some(_) => import::run(settings, repository, id).await,
            None => repository.export(id).await,
        };
        if let Err(failure) = ended {
            failed(repository, id, &failure).await?;
        }
    }
    Ok(())
}

/// The job says why; the next one has its turn.
async fn failed(repository: &Repository, id: Uuid, failure: &Failure) -> Result<(), Failure> {
    let issues = failure.issues.iter();
    let texts: Vec<String> = issues
        .map(|issue| format!("{}: {}", issue.number, issue.text))
        .collect();
    let text = texts.join("; ");
    tracing::error!("a job failed: {text}");
    let ended_ms = repository.clock().now_ms();
    let state = JobState::Failed { ended_ms, text };
    repository.set_job(id, state, Vec::new()).await?;
    Ok(())
}
