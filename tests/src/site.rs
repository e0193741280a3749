//! A running gateway: the real binary, started on a folder, with what it says of itself.

use examples::wayside::{self, Wayside};
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A gateway process. Killed when dropped.
pub struct Site {
    wayside: Wayside,
    pub http: SocketAddr,
    pub mllp: SocketAddr,
}

impl Site {
    /// Starts on free ports without authentication; returns once it is ready.
    pub fn start(data: &Path, more: &[&str]) -> Site {
        let wayside = Wayside::start(&binary(), data, more, Stdio::null()).unwrap();
        let http = wayside.base.trim_start_matches("http://");
        let http = http.trim_end_matches("/fhir").parse().unwrap();
        let mllp = wayside.mllp.parse().unwrap();
        Site {
            wayside,
            http,
            mllp,
        }
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(self) {
        self.wayside.kill();
    }

    /// SIGTERM; true when it ended by itself with success.
    pub fn terminate(self) -> bool {
        self.wayside.terminate()
    }

    /// CPU seconds used so far, user and system (`/proc/<pid>/stat`, fields 14 and 15).
    pub fn cpu_seconds(&self) -> f64 {
        cpu_seconds(self.wayside.process())
    }

    /// Resident memory that is not backed by files, in bytes (`RssAnon`).
    pub fn private_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.wayside.process());
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
    wayside::binary().unwrap()
}
