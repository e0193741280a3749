//! Long tasks that clients asked for: a loop for exports and one for imports, one job at a time each.

use crate::import::{self, ImportSettings};
use gateway_ground::failure::Failure;
use gateway_repository::{JobLane, JobState, Repository};
use std::time::Duration;
use tokio::sync::watch;
use uuid::Uuid;

/// How often jobs whose time is over are looked for; also when a missed wake-up is made good.
const LOOK_EVERY: Duration = Duration::from_secs(600);
/// Pause after the store failed us.
const FAULT_PAUSE: Duration = Duration::from_secs(5);

/// Carries out jobs until `stop` turns true. An export that was
/// cut off starts anew, an import goes on where it stood.
pub async fn run(settings: ImportSettings, repository: Repository, stop: watch::Receiver<bool>) {
    let lane = |lane| keep(&settings, (&repository, lane), stop.clone());
    let (exports, imports) = (lane(JobLane::Exports), lane(JobLane::Imports));
    tokio::join!(Box::pin(exports), Box::pin(imports));
}

async fn keep(
    settings: &ImportSettings,
    (repository, lane): (&Repository, JobLane),
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let stopped = stop.wait_for(|stop| *stop);
        let ended = tokio::select! {
            _stopped = stopped => return,
            ended = all(settings, (repository, lane)) => ended,
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
            () = repository.job_asked(lane) => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn all(
    settings: &ImportSettings,
    (repository, lane): (&Repository, JobLane),
) -> Result<(), Failure> {
    repository.expire_jobs().await?;
    while let Some(id) = repository.next_job(lane)? {
        let ended = match lane {
            JobLane::Imports => import::run(settings, repository, id).await,
            JobLane::Exports => repository.export(id).await,
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
