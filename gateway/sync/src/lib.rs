//! Exchange with remote systems: committed changes go out, their changes come in. One loop a
//! target; targets never meet each other, and they learn of local writes from the change log alone.
//!
//! Reading order: target, delivery, lives, shadow, takeover, outbox, priority, outbound, inbound,
//! then the shells: loops, dispatch, collect.

mod collect;
mod delivery;
mod dispatch;
mod inbound;
mod lives;
mod loops;
mod outbound;
mod outbox;
mod priority;
mod shadow;
mod takeover;
mod target;
mod targets;

use gateway_ground::failure::Failure;
use gateway_ground::lasting;
use gateway_repository::Repository;
use loops::Courier;
use std::fmt;
use targets::fhir::FhirTarget;
use tokio::sync::watch;

/// One target of `kind = "fhir"`, as the configuration gives it.
#[derive(Clone)]
pub struct TargetSettings {
    /// Place in the configuration, from 1; part of keys on disk, so it must not change later.
    pub number: u16,
    pub name: String,
    /// FHIR base, `http://` or `https://`; a trailing slash is ignored.
    pub url: String,
    /// Bearer token, if the target wants one.
    pub token: Option<String>,
    /// Resource types exchanged; empty means every type but bookkeeping.
    pub types: Vec<String>,
    /// Ask the target for its changes too.
    pub pull: bool,
    pub pull_interval_ms: u64,
    /// The target accepts `Content-Encoding: gzip` requests.
    pub gzip: bool,
    /// Longest wait between tries that a busy or failing target is given.
    pub retry_cap_ms: u64,
    /// How often a link that is down is tried.
    pub probe_interval_ms: u64,
    /// Refusals of one resource until its delivery is parked.
    pub attempts_max: u32,
    /// Which life of the target this is (`lives`): 0 here, and read from the store by the loop.
    pub life: u32,
}

impl TargetSettings {
    /// Settings of a target that only its place, name and base are known of.
    pub fn new(number: u16, name: impl Into<String>, url: impl Into<String>) -> TargetSettings {
        TargetSettings {
            number,
            name: name.into(),
            url: url.into(),
            token: None,
            types: Vec::new(),
            pull: true,
            pull_interval_ms: 10_000,
            gzip: false,
            retry_cap_ms: 15 * 60 * 1000,
            probe_interval_ms: 5_000,
            attempts_max: 5,
            life: 0,
        }
    }

    fn there(&self) -> lives::There {
        lives::There {
            target: self.number,
            life: self.life,
        }
    }
}

impl fmt::Debug for TargetSettings {
    /// Leaves the token out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TargetSettings")
            .field("number", &self.number)
            .field("name", &self.name)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// What waits for a target, for gauges and the administrator's page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// Deliveries that are not settled, parked ones included; counted up to the limit.
    pub deliveries: usize,
    /// Those among the first 10,000 of them that the target refused for good.
    pub parked: usize,
}

/// Counts what waits for a target, no further than `limit`.
pub fn backlog(repository: &Repository, target: u16, limit: usize) -> Result<Backlog, Failure> {
    let snapshot = repository.store().snapshot()?;
    let view = snapshot.view();
    Ok(Backlog {
        deliveries: outbox::backlog(&view, target, limit)?,
        parked: outbox::parked(&view, target)?,
    })
}

/// Serves one target until `stop` turns true (or its sender is dropped); spawn one for each target.
/// Stopping in the middle is as safe as a power cut: everything that counts is in the store.
pub async fn run(settings: TargetSettings, repository: Repository, stop: watch::Receiver<bool>) {
    let (tell, wake) = watch::channel(0_u64);
    repository.store().on_commit(move |seq| {
        let _former = tell.send_replace(seq.0);
    });
    let target = match FhirTarget::new(&settings, repository.clock().clone()) {
        Ok(target) => target,
        Err(reason) => {
            tracing::error!(target_name = %settings.name, "{reason}; nothing is exchanged");
            return;
        }
    };
    let begin = || {
        let target = Box::new(target.clone());
        Courier::new(settings.clone(), repository.clone(), target).serve(wake.clone())
    };
    lasting::keep(&settings.name, stop, begin).await;
}
