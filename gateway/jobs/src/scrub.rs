//! Looks over everything stored in rounds, by the clock and when somebody asks, beside all other work:
//! what is damaged is found before somebody needs it.

use gateway_ground::failure::Failure;
use gateway_ground::lasting;
use gateway_repository::{Repository, Scrub, ScrubFound};
use std::time::Duration;
use tokio::sync::watch;

/// How often it is looked whether a round is due; a box that just started has other work.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Pause after the store failed us.
const FAULT_PAUSE: Duration = Duration::from_secs(30);
/// Least and longest pause between two steps; a pause lasts as long as the step before at least, so
/// that at most half a core is taken.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// What the configuration says.
#[derive(Clone, Copy, Debug)]
pub struct ScrubSettings {
    /// From the start of a round to that of the next; 0: only when somebody asks.
    pub every_ms: i64,
}

/// Ends when `stop` turns true (or its sender is dropped). The next start goes on from there.
pub async fn run(settings: ScrubSettings, repository: Repository, stop: watch::Receiver<bool>) {
    lasting::keep("scrub", stop, || rounds(settings, repository.clone())).await;
}

async fn rounds(settings: ScrubSettings, repository: Repository) {
    loop {
        let is_asked = tokio::select! {
            () = repository.scrub_asked() => true,
            () = tokio::time::sleep(LOOK_EVERY) => false,
        };
        let is_due = is_asked || due(settings, &repository).unwrap_or(false);
        if is_due && let Err(failure) = round(settings, &repository, is_asked).await {
            let numbers: Vec<&str> = failure.issues.iter().map(|issue| issue.number).collect();
            tracing::error!("scrub: cannot go on yet: {}", numbers.join(" "));
            tokio::time::sleep(FAULT_PAUSE).await;
        }
    }
}

/// A round that was cut off is always due.
fn due(settings: ScrubSettings, repository: &Repository) -> Result<bool, Failure> {
    if settings.every_ms <= 0 {
        return Ok(false);
    }
    let state = repository.scrub_state()?;
    let Some(last) = state.last.filter(|_| state.under_way.is_none()) else {
        return Ok(true);
    };
    let next_ms = last.started_ms.saturating_add(settings.every_ms);
    Ok(repository.clock().now_ms() >= next_ms)
}

/// One round, spread over half the time to the next one, or made quickly for who asked.
async fn round(
    settings: ScrubSettings,
    repository: &Repository,
    mut is_asked: bool,
) -> Result<(), Failure> {
    let mut scrub = repository.scrub()?;
    loop {
        let before = tokio::time::Instant::now();
        let step = scrub.step().await?;
        tell(&step.found);
        if let Some(round) = step.ended {
            let (resources, findings) = (round.resources, round.findings);
            tracing::info!(
                resources,
                findings,
                "scrub: all that is stored was looked at"
            );
            return Ok(());
        }
        let took = before.elapsed().max(PAUSE_MIN);
        let pause = match is_asked {
            true => took,
            false => took.max(spread(settings, &scrub)),
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = repository.scrub_asked() => is_asked = true,
        }
    }
}

/// Postings that were put right may be many, as after a release with other rules of searching.
fn tell(found: &[ScrubFound]) {
    let is_posting = |one: &&ScrubFound| one.mended && one.database == "postings";
    let (postings, others): (Vec<_>, Vec<_>) = found.iter().partition(is_posting);
    if !postings.is_empty() {
        let count = postings.len();
        tracing::warn!(count, "scrub: posting lists were put right");
    }
    for one in others {
        let next = match one.mended {
            true => "it was put right from what is stored",
            false => "repair it from a backup: wayside repair --from",
        };
        let (database, text) = (&one.database, &one.text);
        tracing::error!("E-SCRUB-1: {database}: {text}; {next}");
    }
}

fn spread(settings: ScrubSettings, scrub: &Scrub) -> Duration {
    let half_ms = u64::try_from(settings.every_ms / 2).unwrap_or(0);
    Duration::from_millis(half_ms / scrub.steps_expected()).min(PAUSE_MAX)
}
