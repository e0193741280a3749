//! Everything worth a log line or a count, and both for each.

use crate::space::{SpaceState, Stage};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::fmt::Display;
use std::time::Duration;

/// One thing that happened.
pub enum Happening<'a> {
    /// A part of the gateway accepts work.
    Listening {
        what: &'static str,
        address: &'a dyn Display,
    },
    /// A request was answered.
    Answered {
        interaction: &'static str,
        status: u16,
        took: Duration,
    },
    /// A connection ended in a fault of the wire: bad TLS, malformed HTTP, silence.
    ConnectionFailed { reason: &'static str },
    /// An interaction broke an invariant; the caller got 500.
    Panicked { interaction: &'static str },
    /// A token was made or revoked.
    TokenChanged { action: &'static str, name: &'a str },
    /// The store stopped taking writes, and why, or takes them again.
    Writable { why_not: Option<&'a str> },
    /// The disk has more or less room than before.
    Space { state: &'a SpaceState },
    /// The gateway stops, or has stopped.
    Stopping { stage: &'static str },
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Request {
    interaction: &'static str,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Kind {
    interaction: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Action {
    action: &'static str,
}

pub(super) struct Counters {
    requests: Family<Request, Counter>,
    seconds: Family<Kind, Histogram>,
    connections_failed: Family<Reason, Counter>,
    panics: Counter,
    tokens: Family<Action, Counter>,
}

impl Happening<'_> {
    pub(super) fn log(&self) {
        match self {
            Self::Listening { what, address } => tracing::info!(what, %address, "listening"),
            Self::Answered {
                interaction,
                status,
                took,
            } if *status >= 500 => {
                let took_us = took.as_micros();
                tracing::warn!(interaction, status, took_us, "answered with a fault");
            }
            Self::Answered {
                interaction,
                status,
                took,
            } => {
                let took_us = took.as_micros();
                tracing::debug!(interaction, status, took_us, "answered");
            }
            Self::ConnectionFailed { reason } => tracing::debug!(reason, "connection failed"),
            Self::Panicked { interaction } => {
                tracing::error!(
                    interaction,
                    "E-HTTP-1: an invariant broke; please report this"
                );
            }
            Self::TokenChanged { action, name } => tracing::info!(action, name, "token changed"),
            Self::Writable { why_not: Some(why) } => {
                tracing::error!(why, "no writes are taken; reads go on");
            }
            Self::Space { state } => {
                let words = state.words();
                match state.stage {
                    Stage::Ample => tracing::info!("the disk has room again: {words}"),
                    Stage::Low => tracing::warn!("the disk fills up: {words}"),
                    Stage::Scarce => tracing::warn!("the disk is getting full: {words}"),
                    Stage::Short => {
                        tracing::error!("the disk is nearly full, no bulk work: {words}");
                    }
                    Stage::Out => {
                        tracing::error!("the disk is full, no writes of clients: {words}");
                    }
                }
            }
            Self::Writable { why_not: None } => tracing::info!("writes are taken again"),
            Self::Stopping { stage } => tracing::info!(stage, "stopping"),
        }
    }
}

impl Counters {
    pub(super) fn register(registry: &mut Registry) -> Counters {
        let seconds = || Histogram::new(exponential_buckets(0.000_25, 4.0, 9));
        let counters = Counters {
            requests: Family::default(),
            seconds: Family::new_with_constructor(seconds),
            connections_failed: Family::default(),
            panics: Counter::default(),
            tokens: Family::default(),
        };
        let requests = counters.requests.clone();
        registry.register("http_requests", "Requests answered", requests);
        let help = "Time from a request's head to its answer";
        registry.register("http_request_seconds", help, counters.seconds.clone());
        let failed = counters.connections_failed.clone();
        let help = "Connections that ended in a fault of the wire";
        registry.register("http_connections_failed", help, failed);
        let help = "Requests whose interaction broke an invariant";
        registry.register("http_panics", help, counters.panics.clone());
        let help = "Tokens made and revoked";
        registry.register("tokens_changed", help, counters.tokens.clone());
        counters
    }

    pub(super) fn count(&self, happening: &Happening<'_>) {
        match happening {
            Happening::Answered {
                interaction,
                status,
                took,
            } => {
                let (interaction, status) = (*interaction, *status);
                self.requests
                    .get_or_create(&Request {
                        interaction,
                        status,
                    })
                    .inc();
                let seconds = self.seconds.get_or_create(&Kind { interaction });
                seconds.observe(took.as_secs_f64());
            }
            Happening::ConnectionFailed { reason } => {
                self.connections_failed
                    .get_or_create(&Reason { reason })
                    .inc();
            }
            Happening::Panicked { .. } => {
                self.panics.inc();
            }
            Happening::TokenChanged { action, .. } => {
                self.tokens.get_or_create(&Action { action }).inc();
            }
            Happening::Listening { .. }
            | Happening::Writable { .. }
            | Happening::Space { .. }
            | Happening::Stopping { .. } => {}
        }
    }
}
