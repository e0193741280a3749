//! Work that lasts as long as the gateway: kept going when an invariant breaks, and ended by a stop.

use std::future::Future;
use std::time::Duration;
use tokio::sync::watch;

/// Pause before work that broke is begun anew.
const RESTART_PAUSE: Duration = Duration::from_secs(5);

/// Runs what `begin` makes until it ends by itself, or until `stop` turns true (or its sender is
/// dropped). Work that panics is logged under `name` and begun anew, so that one bad resource ends a
/// round and not the service. Being stopped must be as safe as a power cut: the work is cut at its
/// next await.
pub async fn keep<Work>(
    name: &str,
    mut stop: watch::Receiver<bool>,
    mut begin: impl FnMut() -> Work,
) where
    Work: Future<Output = ()> + Send + 'static,
{
    loop {
        let mut work = tokio::spawn(begin());
        let ended = tokio::select! {
            _stopped = stop.wait_for(|stop| *stop) => None,
            ended = &mut work => Some(ended.is_ok()),
        };
        match ended {
            None => {
                work.abort();
                return;
            }
            Some(true) => return,
            Some(false) => tracing::error!(name, "E-LASTING-1: an invariant broke; beginning anew"),
        }
        tokio::select! {
            _stopped = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(RESTART_PAUSE) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// How often the work was begun until all was over.
    async fn begun(stop: bool, work: impl Fn(u32) + Copy + Send + Sync + 'static) -> u32 {
        let (_keep, stop) = watch::channel(stop);
        let count = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&count);
        keep("test", stop, || {
            let counted = Arc::clone(&counted);
            async move { work(counted.fetch_add(1, Ordering::SeqCst)) }
        })
        .await;
        count.load(Ordering::SeqCst)
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_breaks_is_begun_anew_and_work_that_ends_is_not() {
        assert_eq!(begun(false, |_| {}).await, 1);
        assert_eq!(begun(false, |n| assert!(n >= 2, "broken")).await, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_ends_work_that_would_go_on() {
        let (stop, stopped) = watch::channel(false);
        let kept = tokio::spawn(keep("test", stopped, std::future::pending));
        stop.send(true).unwrap();
        kept.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_ends_work_that_breaks_for_ever() {
        let (stop, stopped) = watch::channel(false);
        let kept = tokio::spawn(keep("test", stopped, || async { panic!("broken") }));
        tokio::time::sleep(Duration::from_secs(60)).await;
        stop.send(true).unwrap();
        kept.await.unwrap();
    }
}
