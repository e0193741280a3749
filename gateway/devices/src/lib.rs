//! Devices: frames in, durable intake, acknowledgement; then, apart from it, interpretation.
//!
//! Nothing is acknowledged as accepted before it is on disk, and nothing that was acknowledged is
//! lost: what cannot be attributed is held and shown to a person.

mod attribute;
mod held;
mod intake;
mod interpret;
mod listen;
mod mllp;
mod standing;
mod stored;

#[cfg(test)]
mod tests;

pub use interpret::interpret_loop;
pub use listen::serve;

use fhir_mapping::v2::Connection;
use gateway_repository::Repository;
use jiff::tz::TimeZone;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use store::StoreError;
use tokio::sync::Notify;

/// How devices are listened to. The configuration's part that `app` passes down.
#[derive(Clone, Debug)]
pub struct DeviceSettings {
    /// Tried in order: the first rule whose address is the peer's, or that names none.
    pub rules: Vec<ConnectionRule>,
    /// Connections served at one time; one more is closed at once.
    pub connections_max: usize,
    /// Largest frame, in bytes.
    pub frame_bytes_max: usize,
    /// A frame that has begun must end within this time. Idle connections live on for days.
    pub partial_frame_timeout: Duration,
    /// Wakes the interpret loop; clones of these settings share it.
    woken: Arc<Notify>,
}

/// Which connection a peer address speaks for.
#[derive(Clone, Debug)]
pub struct ConnectionRule {
    /// `None` is any peer.
    pub address: Option<IpAddr>,
    pub connection: Connection,
}

/// What the intake still has to do, for gauges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntakeBacklog {
    /// Messages not yet interpreted.
    pub waiting: usize,
    /// Messages that a person must look at.
    pub held: usize,
}

/// Counts what waits and what is held, no further than `limit`.
pub fn backlog(repository: &Repository, limit: usize) -> Result<IntakeBacklog, StoreError> {
    let snapshot = repository.store().snapshot()?;
    let (waiting, held) = stored::count(&snapshot.view(), limit)?;
    Ok(IntakeBacklog { waiting, held })
}

impl DeviceSettings {
    /// One connection `default` for any peer: UTF-8 unless a message says otherwise.
    pub fn for_zone(zone: TimeZone) -> DeviceSettings {
        let connection = Connection {
            name: "default".to_owned(),
            patient_system: "urn:wayside:patient".to_owned(),
            charset: "UNICODE UTF-8".to_owned(),
            authorities: Vec::new(),
            zone,
        };
        let address = None;
        DeviceSettings {
            rules: vec![ConnectionRule {
                address,
                connection,
            }],
            connections_max: 64,
            frame_bytes_max: 16 * 1024 * 1024,
            partial_frame_timeout: Duration::from_secs(60),
            woken: Arc::new(Notify::new()),
        }
    }

    /// The connection of a peer; `None` when no rule admits it.
    pub fn connection_of(&self, peer: IpAddr) -> Option<&Connection> {
        let admits = |rule: &&ConnectionRule| rule.address.is_none_or(|address| address == peer);
        self.rules.iter().find(admits).map(|rule| &rule.connection)
    }

    /// The connection of that name, for messages taken in earlier; the first rule's when it is gone.
    pub fn connection_named(&self, name: &str) -> Option<&Connection> {
        let named = |rule: &&ConnectionRule| rule.connection.name == name;
        let rule = self.rules.iter().find(named).or(self.rules.first());
        rule.map(|rule| &rule.connection)
    }
}
