//! R4 Subscriptions: whoever asked is told of committed changes, by a request to their endpoint or
//! over a web socket. <https://hl7.org/fhir/R4/subscription.html>
//!
//! Reading order: channel and subscription say what is asked, roster who is served, matching finds
//! whom a change concerns and queues it, hook sends, desk is the loop around them.

mod channel;
mod desk;
mod hook;
mod matching;
mod roster;
mod subscription;

use desk::Desk;
use gateway_ground::lasting;
use gateway_repository::Repository;
use tokio::sync::{broadcast, watch};

/// What the site allows.
#[derive(Clone, Debug)]
pub struct SubscriptionSettings {
    /// Hosts, as `name` or `name:port`, that notifications may be sent to.
    pub hosts: Vec<String>,
    /// Failures in a row until a Subscription is turned off.
    pub tries_max: u32,
    /// Longest wait between two tries.
    pub retry_cap_ms: u64,
}

/// Ids of Subscriptions that matched, for the web sockets bound to them.
pub type Bell = broadcast::Sender<String>;

/// Serves all Subscriptions until `stop` turns true (or its sender is dropped). Stopping in the
/// middle is as safe as a power cut: what waits to be told is in the store.
pub async fn run(
    settings: SubscriptionSettings,
    repository: Repository,
    (bell, stop): (Bell, watch::Receiver<bool>),
) {
    let (tell, wake) = watch::channel(0_u64);
    repository.store().on_commit(move |seq| {
        let _former = tell.send_replace(seq.0);
    });
    let begin = || {
        let desk = Desk::new(settings.clone(), repository.clone(), bell.clone());
        desk.serve(wake.clone())
    };
    lasting::keep("subscriptions", stop, begin).await;
}
