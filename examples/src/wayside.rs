//! The gateway as a user starts it: the binary beside this program, its folder, its two lines on
//! standard output.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

/// Longest wait for the gateway to say that it is ready.
const READY_WAIT_MAX: Duration = Duration::from_secs(30);

/// A running gateway; killed when dropped.
pub struct Wayside {
    child: Child,
    /// `http://127.0.0.1:port/fhir`
    pub base: String,
    /// `127.0.0.1:port`
    pub mllp: String,
    /// Told of every line, so that the pipe never fills; ends with the gateway.
    _lines: Receiver<String>,
}

impl Wayside {
    /// Starts on free ports without authentication, with this data folder and further arguments of
    /// `serve`, and waits until it is ready. `log` gets its standard error.
    pub fn start(binary: &Path, data: &Path, more: &[&str], log: Stdio) -> Result<Wayside, String> {
        let listen = ["--listen", "127.0.0.1:0", "--mllp", "127.0.0.1:0"];
        let child = Command::new(binary)
            .args(["serve", "--open"])
            .args(listen)
            .arg("--data")
            .arg(data)
            .args(more)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn();
        let mut child = child.map_err(|e| format!("{}: {e}", binary.display()))?;
        let lines = lines(&mut child);
        match await_ready(&lines) {
            Ok((base, mllp)) => Ok(Wayside {
                child,
                base,
                mllp,
                _lines: lines,
            }),
            Err(reason) => {
                stop(&mut child);
                Err(reason)
            }
        }
    }

    /// The number of its process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has ended by itself or by somebody else's hand.
    pub fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok()??;
        Some(status.to_string())
    }

    /// SIGTERM; true when it then ended by itself with success.
    pub fn terminate(mut self) -> bool {
        let process = self.process().to_string();
        let told = Command::new("kill").args(["-TERM", &process]).status();
        let ended = self.child.wait();
        told.is_ok() && ended.is_ok_and(|status| status.success())
    }

    /// SIGKILL: no farewell, as when the power fails.
    pub fn kill(mut self) {
        stop(&mut self.child);
    }
}

impl Drop for Wayside {
    fn drop(&mut self) {
        stop(&mut self.child);
    }
}

fn stop(child: &mut Child) {
    // Both fail only when it has ended already.
    let _ended = child.kill().is_err();
    let _status = child.wait().is_ok();
}

/// Reads standard output on a thread of its own.
fn lines(child: &mut Child) -> Receiver<String> {
    let (tell, lines) = sync_channel(64);
    if let Some(output) = child.stdout.take() {
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // Nobody waits for lines after `ready`; reading goes on all the same.
                let _kept = tell.try_send(line).is_ok();
            }
        });
    }
    lines
}

fn await_ready(lines: &Receiver<String>) -> Result<(String, String), String> {
    let mut mllp = None;
    loop {
        let line = lines.recv_timeout(READY_WAIT_MAX).map_err(|e| match e {
            RecvTimeoutError::Timeout => "the gateway did not get ready within 30 s".to_owned(),
            RecvTimeoutError::Disconnected => "the gateway ended at once".to_owned(),
        })?;
        if let Some(address) = line.strip_prefix("listening mllp ") {
            mllp = Some(address.to_owned());
        }
        if let Some(base) = line.strip_prefix("ready ") {
            let mllp = mllp.ok_or("the gateway is ready but listens to no analyzer")?;
            return Ok((base.to_owned(), mllp));
        }
    }
}

/// The `wayside` binary beside this program; built first when it is not there.
pub fn binary() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut folder = own.parent().ok_or("this program has no folder")?.to_owned();
    if folder.ends_with("deps") {
        folder.pop();
    }
    let path = folder.join("wayside");
    if path.exists() {
        return Ok(path);
    }
    let is_release = folder.ends_with("release");
    let mut build = Command::new("cargo");
    build.args(["build", "-p", "gateway", "--manifest-path"]);
    build.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"));
    if is_release {
        build.arg("--release");
    }
    let status = build
        .status()
        .map_err(|e| format!("cargo build -p gateway: {e}"))?;
    if status.success() && path.exists() {
        return Ok(path);
    }
    Err(format!(
        "build the gateway first: {} is missing",
        path.display()
    ))
}
