//! Brings search values and postings of an earlier release, of another zone or from before the site
//! defined search parameters of its own, to the present rules, unasked, beside all other work.

use gateway_ground::lasting;
use gateway_repository::Repository;
use std::time::Duration;
use tokio::sync::watch;

/// Pause after the store failed us.
const FAULT_PAUSE: Duration = Duration::from_secs(5);
/// Least pause between two batches; it lasts as long as the batch before, so that at most half a
/// core is taken.
const PAUSE_MIN: Duration = Duration::from_millis(1);
/// Between two words on the progress.
const WORD_BATCHES: usize = 500;

/// Ends when `stop` turns true (or its sender is dropped). Stopping in the middle is as safe as a
/// power cut: the next start goes on from there.
pub async fn run(repository: Repository, stop: watch::Receiver<bool>) {
    lasting::keep("reindex", stop, || rounds(repository.clone())).await;
}

async fn rounds(repository: Repository) {
    loop {
        round(&repository).await;
        repository.reindex_asked().await;
    }
}

/// Until the index is whole.
async fn round(repository: &Repository) {
    if let Err(failure) = repository.adopt_parameters().await {
        let numbers: Vec<&str> = failure.issues.iter().map(|issue| issue.number).collect();
        tracing::error!(
            "search parameters: cannot change yet: {}",
            numbers.join(" ")
        );
    }
    if matches!(repository.index_state(), Ok(state) if state.is_whole) {
        return;
    }
    tracing::info!("search index: made by other rules, in another zone or doubted; reindexing");
    for number in 1_usize.. {
        let before = tokio::time::Instant::now();
        let pause = match repository.reindex_batch().await {
            Ok(true) => {
                tracing::info!("search index: whole");
                return;
            }
            Ok(false) => before.elapsed().max(PAUSE_MIN),
            Err(failure) => {
                let numbers: Vec<&str> = failure.issues.iter().map(|issue| issue.number).collect();
                tracing::error!("search index: cannot go on yet: {}", numbers.join(" "));
                FAULT_PAUSE
            }
        };
        if number.is_multiple_of(WORD_BATCHES)
            && let Ok(state) = repository.index_state()
        {
            tracing::info!(
                "search index: {} of {} resources",
                state.looked_at,
                state.of
            );
        }
        tokio::time::sleep(pause).await;
    }
}
