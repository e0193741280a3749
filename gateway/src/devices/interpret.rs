//! Intake to resources: the oldest waiting message first, each settled or held by one commit.

use super::DeviceSettings;
use crate::repository::Repository;
use tokio::sync::watch;

/// Interprets stored messages until `stop` turns true.
pub async fn interpret_loop(
    _devices: DeviceSettings,
    _repository: Repository,
    mut stop: watch::Receiver<bool>,
) {
    let _stopped = stop.wait_for(|stop| *stop).await;
}
