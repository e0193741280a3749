//! Searches run aside and bounded in number: short ones have a lane of their own, so that long ones
//! cannot hold them up.

use super::super::aside;
use fhir_mapping::model::IssueCode;
use gateway_ground::failure::{Category, Failure};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Room for searches; all clones share it.
#[derive(Clone, Debug)]
pub struct Lanes {
    brief: Arc<Semaphore>,
    long: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

/// Short searches at once: each reads some ten thousand resources at most.
const BRIEF_MAX: usize = 16;
/// Long searches at once.
const LONG_MAX: usize = 2;
/// Long searches that may wait for their turn.
const WAITING_MAX: usize = 16;

impl Default for Lanes {
    fn default() -> Lanes {
        Lanes {
            brief: Arc::new(Semaphore::new(BRIEF_MAX)),
            long: Arc::new(Semaphore::new(LONG_MAX)),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
        }
    }
}

impl Lanes {
    pub(super) async fn brief<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let permit = self.brief.clone().acquire_owned().await;
        let permit = permit.map_err(|_closed| busy())?;
        // The permit goes with the work: a client that hangs up does not end it.
        aside(move || {
            let done = work();
            drop(permit);
            done
        })
        .await
    }

    /// 429 when too many wait already.
    pub(super) async fn long<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let waiting = self.waiting.clone().try_acquire_owned();
        let waiting = waiting.map_err(|_full| busy())?;
        let permit = self.long.clone().acquire_owned().await;
        let permit = permit.map_err(|_closed| busy())?;
        drop(waiting);
        aside(move || {
            let done = work();
            drop(permit);
            done
        })
        .await
    }
}

fn busy() -> Failure {
    let text = "too many long searches at once; wait as Retry-After says, or narrow the search";
    Failure::new(Category::Throttled, "E-SCAN-2", IssueCode::Throttled, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn too_many_long_searches_are_told_to_come_again() {
        let lanes = Lanes::default();
        let all = u32::try_from(LONG_MAX).unwrap();
        let held = lanes.long.clone().acquire_many_owned(all).await.unwrap();
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..WAITING_MAX {
            let lanes = lanes.clone();
            waiting.spawn(async move { lanes.long(|| Ok(1)).await });
        }
        while lanes.waiting.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let refused = lanes.long(|| Ok(2)).await.unwrap_err();
        assert_eq!(refused.category.status(), 429);
        // Short ones have their own lane.
        assert_eq!(lanes.brief(|| Ok(3)).await.unwrap(), 3);
        drop(held);
        for done in waiting.join_all().await {
            assert_eq!(done.unwrap(), 1);
        }
        assert_eq!(lanes.long(|| Ok(4)).await.unwrap(), 4);
    }
}
