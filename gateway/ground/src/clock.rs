//! The only place that reads time. Tests drive it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// Wall time and hybrid logical time; cheap to clone.
#[derive(Clone, Debug)]
pub struct Clock {
    source: Source,
    /// Highest hybrid logical time given out: 48 bits of milliseconds, 16 bits of counter.
    hlc: Arc<AtomicU64>,
}

#[derive(Clone, Debug)]
enum Source {
    System,
    Driven(Arc<AtomicI64>),
}

/// An incoming time this far ahead of ours does not move our clock (a wrong clock must not spread).
const DRIFT_MAX_MS: u64 = 24 * 60 * 60 * 1000;

impl Clock {
    /// The machine's clock. `hlc_floor` is the highest hybrid time that the store has seen.
    pub fn system(hlc_floor: u64) -> Clock {
        Clock {
            source: Source::System,
            hlc: Arc::new(AtomicU64::new(hlc_floor)),
        }
    }

    /// A clock that stands still until `advance`.
    pub fn driven(start_ms: i64) -> Clock {
        let time = Arc::new(AtomicI64::new(start_ms));
        Clock {
            source: Source::Driven(time),
            hlc: Arc::new(AtomicU64::new(0)),
        }
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    #[allow(clippy::disallowed_methods)] // the one place
    pub fn now_ms(&self) -> i64 {
        match &self.source {
            Source::System => jiff::Timestamp::now().as_millisecond(),
            Source::Driven(time) => time.load(Ordering::SeqCst),
        }
    }

    /// A hybrid logical time greater than any given before, even when the wall clock went back.
    pub fn next_hlc(&self) -> u64 {
        let wall = u64::try_from(self.now_ms()).unwrap_or(0) << 16;
        let step = |last: u64| Some(wall.max(last + 1));
        let last = self
            .hlc
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, step);
        last.map_or(wall, |last| wall.max(last + 1))
    }

    /// Takes note of a hybrid time from elsewhere.
    pub fn observe_hlc(&self, seen: u64) {
        let wall = u64::try_from(self.now_ms()).unwrap_or(0);
        if (seen >> 16) <= wall + DRIFT_MAX_MS {
            self.hlc.fetch_max(seen, Ordering::SeqCst);
        }
    }

    /// Moves a driven clock; no effect on the machine's.
    pub fn advance(&self, by: Duration) {
        if let Source::Driven(time) = &self.source {
            time.fetch_add(i64::try_from(by.as_millis()).unwrap_or(0), Ordering::SeqCst);
        }
    }
}

/// Monotonic stopwatch for latencies.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::disallowed_types)] // the one place
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    #[allow(clippy::disallowed_methods)] // the one place
    pub fn start() -> Stopwatch {
        Stopwatch(std::time::Instant::now())
    }

    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// `2026-11-24T18:47:41.123Z`, the form of `meta.lastUpdated`.
pub fn format_instant(time_ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(time_ms) {
        Ok(time) => format!("{time:.3}"),
        Err(_out_of_range) => "1970-01-01T00:00:00.000Z".to_owned(),
    }
}
