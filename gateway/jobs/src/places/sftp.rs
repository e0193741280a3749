//! A folder of another machine over SFTP, by the system's own `sftp` in batch mode: its keys, its
//! `known_hosts`, its ciphers. A file is put under another name, synced where the server can, and renamed.

use super::refused;
use gateway_ground::clock::Stopwatch;
use std::fs::{self, DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use vault::VaultError;
use vault::backup::Shelf;

/// `[backup.sftp]`.
#[derive(Clone, Debug, PartialEq)]
pub struct SftpSettings {
    /// `user@host`.
    pub address: String,
    pub port: u16,
    /// Folder over there; made when it is not there.
    pub folder: String,
    /// The private key, without a passphrase.
    pub key_file: PathBuf,
    /// Who the host must be; the system's own when absent.
    pub known_hosts: Option<PathBuf>,
    /// Folder of ours for what is on its way, sealed; it is made and goes again.
    pub aside: PathBuf,
}

impl SftpSettings {
    pub(super) fn words(&self) -> String {
        format!("sftp://{}:{}/{}", self.address, self.port, self.folder)
    }
}

/// Longest wait for one batch: three minutes, and the time that its bytes take at 16 kB/s.
const PATIENCE: Duration = Duration::from_secs(180);
const BYTES_A_SECOND: u64 = 16_000;
/// A batch that only reads may bring a whole pack.
const BYTES_EXPECTED: u64 = 32 << 20;
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Of what `sftp` says, this much is shown.
const WORDS_CHARS_MAX: usize = 200;

/// The folder over there.
pub(super) struct Remote {
    settings: SftpSettings,
}

/// What one run of `sftp` came to.
struct Ran {
    status: ExitStatus,
    output: String,
    errors: String,
}

impl Remote {
    /// Refuses names that a batch would take for something else.
    pub(super) fn new(settings: &SftpSettings) -> Result<Remote, VaultError> {
        let is_plain = |text: &str, more: &[char]| {
            let plain = |c: char| c.is_ascii_alphanumeric() || more.contains(&c);
            !text.is_empty() && !text.starts_with('-') && text.chars().all(plain)
        };
        let sound = is_plain(&settings.address, &['.', '-', '_', '@'])
            && is_plain(&settings.folder, &['.', '-', '_', '/']);
        if !sound {
            let detail = "address and folder take letters, digits, `.`, `-` and `_` only";
            return Err(refused(&settings.words(), detail));
        }
        Ok(Remote {
            settings: settings.clone(),
        })
    }

    /// Makes the folders over there, if they are not there.
    pub(super) fn make(&self) -> Result<(), VaultError> {
        let mut batch = String::new();
        let mut path = String::new();
        let folder = self.settings.folder.trim_end_matches('/');
        for part in folder.split('/') {
            path.push_str(part);
            if !part.is_empty() {
                batch.push_str(&format!("-mkdir {path}\n"));
            }
            path.push('/');
        }
        for below in ["packs", "manifests", "checks"] {
            batch.push_str(&format!("-mkdir {folder}/{below}\n"));
        }
        // One that was there already is told as a failure; this is what tells the truth.
        batch.push_str(&format!("ls -1 {folder}/manifests\n"));
        let transfer = Transfer::begin(&self.settings)?;
        let ran = transfer.run(&batch, 0)?;
        match ran.status.success() {
            true => Ok(()),
            false => Err(self.unwanted("", &ran)),
        }
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.settings.folder.trim_end_matches('/'))
    }

    fn called(&self, name: &str) -> String {
        format!("{}/{name}", self.settings.words().trim_end_matches('/'))
    }

    fn unwanted(&self, name: &str, ran: &Ran) -> VaultError {
        let words = ran.errors.trim().lines().next_back().unwrap_or("no word");
        let words: String = words.chars().take(WORDS_CHARS_MAX).collect();
        let words = words.replace(|c: char| c.is_control(), " ");
        refused(&self.called(name), format!("sftp says: {words}"))
    }
}

impl Ran {
    fn is_missing(&self) -> bool {
        let errors = self.errors.to_ascii_lowercase();
        errors.contains("not found") || errors.contains("no such file")
    }
}

impl Shelf for Remote {
    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), VaultError> {
        let transfer = Transfer::begin(&self.settings)?;
        let here = transfer.folder.join("out");
        fs::write(&here, bytes).map_err(|e| unusable(&here, &e))?;
        let there = self.path(name);
        let batch = format!("put -f {OUT} {there}.part\nrename {there}.part {there}\n");
        let ran = transfer.run(&batch, u64::try_from(bytes.len()).unwrap_or(u64::MAX))?;
        match ran.status.success() {
            true => Ok(()),
            false => Err(self.unwanted(name, &ran)),
        }
    }

    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, VaultError> {
        let transfer = Transfer::begin(&self.settings)?;
        let batch = format!("get {} {IN}\n", self.path(name));
        let ran = transfer.run(&batch, BYTES_EXPECTED)?;
        if ran.status.success() {
            let here = transfer.folder.join(IN);
            return fs::read(&here).map(Some).map_err(|e| unusable(&here, &e));
        }
        match ran.is_missing() {
            true => Ok(None),
            false => Err(self.unwanted(name, &ran)),
        }
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, VaultError> {
        let transfer = Transfer::begin(&self.settings)?;
        let ran = transfer.run(&format!("ls -1 {}\n", self.path(folder)), 0)?;
        if !ran.status.success() {
            return match ran.is_missing() {
                true => Ok(Vec::new()),
                false => Err(self.unwanted(folder, &ran)),
            };
        }
        let lines = ran.output.lines().map(str::trim);
        let names = lines.filter(|line| !line.starts_with("sftp>") && !line.is_empty());
        let names = names.filter_map(|line| line.rsplit('/').next());
        // What a cut put left is written over by the next one of that name.
        let names = names.filter(|name| !name.ends_with(".part"));
        let mut names: Vec<String> = names.map(|name| format!("{folder}/{name}")).collect();
        names.sort();
        Ok(names)
    }

    fn remove(&self, name: &str) -> Result<(), VaultError> {
        let transfer = Transfer::begin(&self.settings)?;
        let ran = transfer.run(&format!("rm {}\n", self.path(name)), 0)?;
        match ran.status.success() || ran.is_missing() {
            true => Ok(()),
            false => Err(self.unwanted(name, &ran)),
        }
    }
}

/// Names in our folder, where `sftp` runs.
const OUT: &str = "out";
const IN: &str = "in";

/// A folder for one run, only its owner's; gone when dropped.
struct Transfer<'a> {
    settings: &'a SftpSettings,
    folder: PathBuf,
}

impl<'a> Transfer<'a> {
    fn begin(settings: &'a SftpSettings) -> Result<Transfer<'a>, VaultError> {
        let folder = settings.aside.clone();
        clear(&folder)?;
        let made = DirBuilder::new().mode(0o700).create(&folder);
        made.map_err(|e| unusable(&folder, &e))?;
        let only_ours = fs::Permissions::from_mode(0o700);
        fs::set_permissions(&folder, only_ours).map_err(|e| unusable(&folder, &e))?;
        Ok(Transfer { settings, folder })
    }

    /// Runs a batch in our folder; its words go to files, so that none is waited for.
    fn run(&self, batch: &str, bytes: u64) -> Result<Ran, VaultError> {
        let file = |name: &str| {
            let path = self.folder.join(name);
            File::create(&path).map_err(|e| unusable(&path, &e))
        };
        let path = self.folder.join("batch");
        fs::write(&path, batch).map_err(|e| unusable(&path, &e))?;
        let mut command = self.command()?;
        command
            .stdin(Stdio::null())
            .stdout(file("words")?)
            .stderr(file("errors")?);
        let child = command.spawn().map_err(|e| {
            let detail = format!("the program `sftp` cannot be run: {e}; install it");
            refused(&self.settings.words(), detail)
        })?;
        let patience = PATIENCE + Duration::from_secs(bytes / BYTES_A_SECOND);
        let status = self.awaited(child, patience)?;
        let text = |name: &str| {
            let bytes = fs::read(self.folder.join(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        Ok(Ran {
            status,
            output: text("words"),
            errors: text("errors"),
        })
    }

    fn command(&self) -> Result<Command, VaultError> {
        let settings = self.settings;
        let absolute = |path: &Path| std::path::absolute(path).map_err(|e| unusable(path, &e));
        let mut command = Command::new("sftp");
        command
            .current_dir(&self.folder)
            .args(["-q", "-b", "batch", "-P", &settings.port.to_string()])
            .arg("-i")
            .arg(absolute(&settings.key_file)?)
            .args(["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"])
            .args(["-o", "IdentitiesOnly=yes", "-o", "ConnectTimeout=30"])
            .args([
                "-o",
                "ServerAliveInterval=15",
                "-o",
                "ServerAliveCountMax=4",
            ]);
        if let Some(known_hosts) = &settings.known_hosts {
            let known_hosts = absolute(known_hosts)?;
            let option = format!("UserKnownHostsFile={}", known_hosts.display());
            command.args(["-o", &option]);
        }
        command.arg("--").arg(&settings.address);
        Ok(command)
    }

    fn awaited(&self, mut child: Child, patience: Duration) -> Result<ExitStatus, VaultError> {
        let fault = |e: std::io::Error| refused(&self.settings.words(), e.to_string());
        let watch = Stopwatch::start();
        loop {
            if let Some(status) = child.try_wait().map_err(fault)? {
                return Ok(status);
            }
            if watch.elapsed() > patience {
                child.kill().map_err(fault)?;
                child.wait().map_err(fault)?;
                let detail = format!("no end after {} s", patience.as_secs());
                return Err(refused(&self.settings.words(), detail));
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

impl Drop for Transfer<'_> {
    fn drop(&mut self) {
        // What stays is sealed, and goes before the next run.
        clear(&self.folder).unwrap_or_default();
    }
}

fn clear(folder: &Path) -> Result<(), VaultError> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(unusable(folder, &e)),
        _ => Ok(()),
    }
}

fn unusable(path: &Path, error: &std::io::Error) -> VaultError {
    refused(&path.display().to_string(), error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_a_batch_would_misread_are_refused() {
        let settings = |address: &str, folder: &str| SftpSettings {
            address: address.to_owned(),
            port: 22,
            folder: folder.to_owned(),
            key_file: "key".into(),
            known_hosts: None,
            aside: "aside".into(),
        };
        for (address, folder, expected) in [
            ("backup@host.example", "/srv/wayside", true),
            ("host", "wayside", true),
            ("-oProxyCommand=x", "wayside", false),
            ("user@host", "-r", false),
            ("user@host", "a\nrm b", false),
            ("user@host", "a b", false),
            ("user@host", "a*", false),
            ("", "a", false),
            ("user@host", "", false),
        ] {
            let is_taken = Remote::new(&settings(address, folder)).is_ok();
            assert_eq!(is_taken, expected, "{address} {folder}");
        }
    }
}
