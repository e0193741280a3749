//! A running gateway: the real binary, started on a folder, with what it says of itself.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A gateway process. Killed when dropped.
pub struct Site {
    child: Child,
    pub http: SocketAddr,
    pub mllp: SocketAddr,
}

impl Site {
    /// Starts on free ports without authentication; returns once it is ready.
    pub fn start(data: &Path, more: &[&str]) -> Site {
        #[allow(clippy::zombie_processes)] // waited for when the site is dropped
        let mut child = Command::new(binary())
            .args([
                "serve",
                "--open",
                "--listen",
                "127.0.0.1:0",
                "--mllp",
                "127.0.0.1:0",
                "--data",
            ])
            .arg(data)
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the wayside binary starts");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut mllp = None;
        loop {
            let line = lines
                .next()
                .expect("the gateway said `ready` before it ended")
                .unwrap();
            if let Some(address) = line.strip_prefix("listening mllp ") {
                mllp = address.parse().ok();
            }
            if let Some(base) = line.strip_prefix("ready http://") {
                let http = base.trim_end_matches("/fhir").parse().unwrap();
                return Site {
                    child,
                    http,
                    mllp: mllp.expect("an mllp line before ready"),
                };
            }
        }
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; true when it ended by itself with success.
    pub fn terminate(mut self) -> bool {
        let id = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status().unwrap();
        self.child.wait().unwrap().success()
    }

    /// CPU seconds used so far, user and system (`/proc/<pid>/stat`, fields 14 and 15).
    pub fn cpu_seconds(&self) -> f64 {
        cpu_seconds(self.child.id())
    }

    /// Resident memory that is not backed by files, in bytes (`RssAnon`).
    pub fn private_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let text = std::fs::read_to_string(path).unwrap();
        let line = text.lines().find(|l| l.starts_with("RssAnon:")).unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
            * 1024
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// CPU seconds of any process of this machine; the kernel counts in hundredths.
pub fn cpu_seconds(process: u32) -> f64 {
    let mut text = String::new();
    std::fs::File::open(format!("/proc/{process}/stat"))
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    let fields: Vec<&str> = text
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}

/// Runs a subcommand to its end: exit code and both outputs as one text.
pub fn wayside(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(binary())
        .args(arguments)
        .output()
        .expect("wayside runs");
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

/// The `wayside` binary of the profile that this program was built with.
pub fn binary() -> PathBuf {
    let mut folder = std::env::current_exe().unwrap();
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    let path = folder.join("wayside");
    assert!(
        path.exists(),
        "build it first: cargo build -p gateway (missing {})",
        path.display()
    );
    path
}
