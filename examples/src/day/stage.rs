//! The stage: a folder, the national double, the gateway, the EMR. And waiting, with an end.

use crate::emr::Emr;
use crate::national::National;
use crate::wayside::{self, Wayside};
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::Instant;

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Everybody who takes part.
pub struct Stage {
    pub national: National,
    pub emr: Emr,
    gateway: Option<Wayside>,
    binary: PathBuf,
    folder: tempfile::TempDir,
}

impl Stage {
    /// Starts the national server and the gateway, in a folder that goes away at the end.
    pub async fn set() -> Result<Stage, String> {
        let binary = wayside::binary()?;
        let folder = tempfile::tempdir().map_err(|e| format!("a temporary folder: {e}"))?;
        let national = National::start("127.0.0.1:0").await;
        let national = national.map_err(|e| format!("the national server: {e}"))?;
        let config = format!(
            "[[mllp.connection]]\nname = \"analyzer-1\"\npatient_system = \"{}\"\n\n\
             [[target]]\nname = \"national\"\nkind = \"fhir\"\nurl = \"{}\"\npull_interval_s = 1\n",
            super::CLINIC_SYSTEM,
            national.base(),
        );
        std::fs::write(folder.path().join("wayside.toml"), config)
            .map_err(|e| format!("wayside.toml: {e}"))?;
        let mut stage = Stage {
            national,
            emr: Emr::new("", None),
            gateway: None,
            binary,
            folder,
        };
        stage.start_gateway()?;
        Ok(stage)
    }

    /// Starts the gateway on the stage's folder; the EMR finds it at its new address.
    pub fn start_gateway(&mut self) -> Result<(), String> {
        let path = |name: &str| self.folder.path().join(name);
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path("wayside.log"));
        let log = log.map_err(|e| format!("the log file: {e}"))?;
        let config = path("wayside.toml").to_string_lossy().into_owned();
        let more = ["--config", &config];
        let gateway = Wayside::start(&self.binary, &path("data"), &more, log.into())
            .map_err(|e| format!("{e}\n{}", self.log_tail()))?;
        self.emr = Emr::new(&gateway.base, None);
        self.gateway = Some(gateway);
        Ok(())
    }

    /// kill -9, then a new start on the same folder.
    pub fn kill_and_restart(&mut self) -> Result<(), String> {
        if let Some(gateway) = self.gateway.take() {
            gateway.kill();
        }
        self.start_gateway()
    }

    /// Address of the analyzer's listener.
    pub fn mllp(&self) -> &str {
        self.gateway
            .as_ref()
            .map(|g| g.mllp.as_str())
            .unwrap_or_default()
    }

    /// For whoever looks for the reason: has the gateway ended, and its last lines.
    pub fn clues(&mut self) -> String {
        let ended = self.gateway.as_mut().and_then(Wayside::ended);
        let ended = ended.map(|status| format!("    the gateway has ended: {status}\n"));
        ended.unwrap_or_default() + &self.log_tail()
    }

    fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(self.folder.path().join("wayside.log"));
        let text = text.unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines.iter().skip(lines.len().saturating_sub(30));
        tail.map(|line| format!("    | {line}\n")).collect()
    }
}

/// Waits until `look` is satisfied, at most so long; the message says what was missing last.
pub(super) async fn await_until(
    what: &str,
    at_most: Duration,
    mut look: impl FnMut() -> Result<(), String>,
) -> Result<(), String> {
    let start = Instant::now();
    loop {
        let Err(missing) = look() else {
            return Ok(());
        };
        if start.elapsed() > at_most {
            let seconds = at_most.as_secs();
            return Err(format!("{what}: still not so after {seconds} s: {missing}"));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
