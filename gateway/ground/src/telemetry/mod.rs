//! Logs on stderr and counters for `/metrics`. One happening is one type: its log line and its
//! counter are defined together. Never a patient's value in either.

mod gauges;
mod happening;

pub use gauges::{Gauges, TargetGauges};
pub use happening::Happening;

use happening::Counters;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, PoisonError};

/// Cheap to clone; all clones count together.
#[derive(Clone)]
pub struct Telemetry {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Mutex<Registry>,
    counters: Counters,
    gauges: gauges::Registered,
}

impl Default for Telemetry {
    fn default() -> Telemetry {
        Telemetry::new()
    }
}

impl Telemetry {
    /// Counters at zero.
    pub fn new() -> Telemetry {
        let mut registry = Registry::with_prefix("wayside");
        let counters = Counters::register(&mut registry);
        let gauges = gauges::Registered::register(&mut registry);
        let registry = Mutex::new(registry);
        Telemetry {
            inner: Arc::new(Inner {
                registry,
                counters,
                gauges,
            }),
        }
    }

    /// Logs and counts.
    pub fn note(&self, happening: &Happening<'_>) {
        happening.log();
        self.inner.counters.count(happening);
    }

    /// OpenMetrics text, with the gauges as sampled now.
    pub fn metrics(&self, gauges: &Gauges) -> String {
        self.inner.gauges.set(gauges);
        let mut text = String::new();
        let registry = self
            .inner
            .registry
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match encode(&mut text, &registry) {
            Ok(()) => text,
            Err(std::fmt::Error) => String::new(),
        }
    }
}

/// Starts logging on stderr, once a run. `level` is a level or a filter as `gateway=debug`.
pub fn start_logging(is_json: bool, level: &str) -> Result<(), String> {
    let filter = tracing_subscriber::EnvFilter::try_new(level)
        .map_err(|e| format!("E-CONFIG-4: log.level: {e}"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = if is_json {
        builder.json().flatten_event(true).try_init()
    } else {
        let is_terminal = std::io::stderr().is_terminal();
        builder.with_target(false).with_ansi(is_terminal).try_init()
    };
    started.map_err(|e| format!("E-CONFIG-5: logging cannot start: {e}"))?;
    std::panic::set_hook(Box::new(|panic| {
        // The place only: the message might quote what a request brought.
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "an invariant broke");
    }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_happened_is_counted() {
        let telemetry = Telemetry::new();
        let answered = Happening::Answered {
            interaction: "read",
            status: 200,
            took: Duration::from_millis(2),
        };
        telemetry.note(&answered);
        telemetry.note(&answered);
        let gauges = Gauges {
            last_seq: 7,
            ..Gauges::default()
        };
        let text = telemetry.metrics(&gauges);
        let expected = [
            "wayside_http_requests_total{interaction=\"read\",status=\"200\"} 2",
            "wayside_http_request_seconds_count{interaction=\"read\"} 2",
            "wayside_store_last_seq 7",
            "# EOF",
        ];
        for line in expected {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }
}
