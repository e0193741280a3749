//! All settings, one struct tree; unknown keys are refused. The only place that reads the
//! environment. `examples/wayside.toml` documents each key, and a test holds the two together.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// `wayside.toml`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub site: Site,
    pub http: Http,
    pub mllp: Mllp,
    #[serde(rename = "target")]
    pub targets: Vec<Target>,
    pub subscriptions: Subscriptions,
    pub import: Import,
    pub validation: Validation,
    pub store: Store,
    pub backup: Backup,
    pub integrity: Integrity,
    pub log: Log,
}

/// `[site]`: this box.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Site {
    pub name: String,
    /// IANA time zone of dates that come without one.
    pub zone: String,
    /// FHIR base as clients see it, without trailing slash; absent: taken from each request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
}

/// One commit holds them all.
const CONDITIONAL_DELETE_MAX: usize = 1_000;

/// `[http]`: the FHIR endpoint.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    pub listen: SocketAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_cert: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<PathBuf>,
    /// Largest body of a request, after decompression.
    pub body_size_bytes_max: usize,
    /// Sustained rate and burst allowed to each token.
    pub requests_per_second: u32,
    pub burst: u32,
    pub connections_max: usize,
    pub page_size: usize,
    pub page_size_max: usize,
    pub bundle_entries_max: usize,
    /// Most resources that one conditional delete may take; 1 makes it single.
    pub conditional_delete_max: usize,
    /// Names that `Host` may carry beside addresses and `localhost`; empty allows any name on
    /// addresses other than loopback.
    pub host_names: Vec<String>,
}

/// `[mllp]`: the device listener.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Mllp {
    pub listen: SocketAddr,
    #[serde(rename = "connection")]
    pub connections: Vec<MllpConnection>,
}

/// `[[mllp.connection]]`: one device, known by its address.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct MllpConnection {
    pub name: String,
    /// Absent: any address that no other connection names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// System of patient identifiers that come without an assigning authority.
    pub patient_system: String,
    /// Character set when MSH-18 is empty, as an HL7 table 0211 name.
    #[serde(default = "default_charset")]
    pub charset: String,
    /// Assigning authorities (PID-3.4 as sent) whose identifiers have another system.
    #[serde(default)]
    pub authorities: BTreeMap<String, String>,
}

/// `[[target]]`: a remote system to exchange with.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Target {
    pub name: String,
    pub kind: TargetKind,
    pub url: String,
    /// Bearer token, or the file that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// Resource types to exchange; empty means all.
    #[serde(default)]
    pub types: Vec<String>,
    /// Fetch its changes too.
    #[serde(default = "default_true")]
    pub pull: bool,
    #[serde(default = "default_pull_interval_s")]
    pub pull_interval_s: u64,
    /// It accepts compressed requests.
    #[serde(default)]
    pub gzip: bool,
}

/// What protocol a target speaks.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum TargetKind {
    Fhir,
}

/// `[subscriptions]`: telling others of changes.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Subscriptions {
    /// Hosts, as `name` or `name:port`, that notifications may be sent to.
    pub hosts: Vec<String>,
    /// Failures in a row until a Subscription is turned off.
    pub tries_max: u32,
    /// Longest wait between two tries.
    pub retry_cap_ms: u64,
}

/// `[import]`: where `$import` may read from; nowhere by default.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Import {
    /// Hosts, as `name` or `name:port`, that files may be fetched from.
    pub hosts: Vec<String>,
    /// Folder below which `file:` URLs are read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
}

/// `[validation]`: how strict the site is with what clients send.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Validation {
    pub level: ValidationLevel,
    /// Levels of resources that claim a profile in `meta.profile`, by its URL.
    pub profiles: BTreeMap<String, ValidationLevel>,
}

/// How much of a resource is judged before it is taken.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum ValidationLevel {
    Off,
    #[default]
    Structure,
    Full,
}

/// `[store]`.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    pub folder: PathBuf,
    /// The key file, when it is not beside the folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// Holds the passphrase, for a store that opens with one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passphrase_file: Option<PathBuf>,
    pub map_size_bytes: usize,
    pub queue_length_max: usize,
    /// After so many starts in a row that did not last a minute the store is opened for reading
    /// alone; 0 never does.
    pub starts_until_read_only: u32,
}

/// `[backup]`: copies of the whole store, sealed to its ways.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Backup {
    /// Where backups are kept; absent, none is taken by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    pub every_hours: u32,
    /// How many days, weeks and months keep their newest backup.
    pub keep_daily: usize,
    pub keep_weekly: usize,
    pub keep_monthly: usize,
    /// How often the newest backup is restored on trial; 0 never.
    pub drill_every_days: u32,
    /// In the place of a folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3: Option<BackupS3>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sftp: Option<BackupSftp>,
}

/// `[backup.s3]`: an S3-compatible store.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct BackupS3 {
    pub endpoint: String,
    pub bucket: String,
    #[serde(default)]
    pub prefix: String,
    #[serde(default = "default_region")]
    pub region: String,
    pub credentials_file: PathBuf,
}

/// `[backup.sftp]`: a folder of another machine.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct BackupSftp {
    pub address: String,
    #[serde(default = "default_ssh_port")]
    pub port: u16,
    pub folder: String,
    pub key_file: PathBuf,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_hosts: Option<PathBuf>,
}

/// `[integrity]`: finding what a disk damaged.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Integrity {
    /// Days from the start of a look over everything stored to that of the next; 0 only when asked.
    pub scrub_every_days: u32,
}

/// `[log]`.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    pub format: LogFormat,
    /// error, warn, info, debug, trace, or a filter as `gateway_sync=debug`.
    pub level: String,
}

/// Form of a log line on stderr.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, PartialEq, Eq, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Human,
    Json,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("E-CONFIG-1: cannot read {path}: {detail}; check the path given with --config")]
    Unreadable { path: String, detail: String },
    #[error("E-CONFIG-2: {path}: {detail}; see examples/wayside.toml for every key")]
    Malformed { path: String, detail: String },
    #[error("E-CONFIG-3: {key}: {detail}")]
    Invalid { key: &'static str, detail: String },
}

impl Config {
    /// Reads the file; without a path, the defaults.
    pub fn load(path: Option<&Path>) -> Result<Config, ConfigError> {
        let Some(path) = path else {
            return Ok(Config::default());
        };
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|e| ConfigError::Unreadable {
            path: shown.clone(),
            detail: e.to_string(),
        })?;
        Config::parse(&text, &shown)
    }

    /// Parses and checks; `path` is for the error only.
    pub fn parse(text: &str, path: &str) -> Result<Config, ConfigError> {
        let config: Config = toml::from_str(text).map_err(|e| ConfigError::Malformed {
            path: path.to_owned(),
            detail: e.to_string().trim().replace('\n', " "),
        })?;
        config.check()?;
        Ok(config)
    }

    /// The site's time zone; checked already.
    pub fn zone(&self) -> Result<jiff::tz::TimeZone, ConfigError> {
        jiff::tz::TimeZone::get(&self.site.zone).map_err(|_unknown| ConfigError::Invalid {
            key: "site.zone",
            detail: format!("no time zone is called {:?}", self.site.zone),
        })
    }

    fn check(&self) -> Result<(), ConfigError> {
        self.zone()?;
        self.check_http()?;
        self.backup.check()?;
        let names = self.mllp.connections.iter().map(|c| c.name.as_str());
        check_names("mllp.connection.name", names)?;
        check_names("target.name", self.targets.iter().map(|t| t.name.as_str()))?;
        for target in &self.targets {
            target.check()?;
        }
        Ok(())
    }

    fn check_http(&self) -> Result<(), ConfigError> {
        let http = &self.http;
        if http.tls_cert.is_some() != http.tls_key.is_some() {
            return invalid("http.tls_cert", "tls_cert and tls_key go together");
        }
        let positive = [
            ("http.body_size_bytes_max", http.body_size_bytes_max),
            ("http.connections_max", http.connections_max),
            ("http.page_size", http.page_size),
            ("http.bundle_entries_max", http.bundle_entries_max),
            ("store.queue_length_max", self.store.queue_length_max),
        ];
        for (key, value) in positive {
            if value == 0 {
                return invalid(key, "must be greater than 0");
            }
        }
        if http.requests_per_second == 0 || http.burst == 0 {
            return invalid("http.requests_per_second", "rate and burst must exceed 0");
        }
        if !(1..=CONDITIONAL_DELETE_MAX).contains(&http.conditional_delete_max) {
            return invalid("http.conditional_delete_max", "must be from 1 to 1000");
        }
        if http.page_size > http.page_size_max {
            return invalid("http.page_size", "is larger than page_size_max");
        }
        let base = self.site.base_url.as_deref().unwrap_or("http://-");
        let sound = base.starts_with("http://") || base.starts_with("https://");
        if !sound || base.ends_with('/') {
            return invalid("site.base_url", "must be a URL without trailing slash");
        }
        Ok(())
    }
}

impl Target {
    fn check(&self) -> Result<(), ConfigError> {
        if !self.url.starts_with("http://") && !self.url.starts_with("https://") {
            return invalid("target.url", "must start with http:// or https://");
        }
        if self.token.is_some() && self.token_file.is_some() {
            return invalid("target.token", "give token or token_file, not both");
        }
        Ok(())
    }
}

fn check_names<'a>(
    key: &'static str,
    names: impl Iterator<Item = &'a str>,
) -> Result<(), ConfigError> {
    let mut seen = std::collections::HashSet::new();
    for name in names {
        if name.is_empty() || !seen.insert(name) {
            return invalid(key, "names must be there and differ from each other");
        }
    }
    Ok(())
}

fn invalid<T>(key: &'static str, detail: &str) -> Result<T, ConfigError> {
    let detail = detail.to_owned();
    Err(ConfigError::Invalid { key, detail })
}

/// `WAYSIDE_PASSPHRASE`, when set and not empty; else what the service was given as the credential
/// `wayside-passphrase` (`LoadCredential=` of systemd).
#[allow(clippy::disallowed_methods)] // the one place
pub fn passphrase() -> Option<zeroize::Zeroizing<String>> {
    let given = std::env::var("WAYSIDE_PASSPHRASE").ok();
    let given = given.filter(|text| !text.is_empty()).or_else(|| {
        let folder = PathBuf::from(std::env::var_os("CREDENTIALS_DIRECTORY")?);
        std::fs::read_to_string(folder.join("wayside-passphrase")).ok()
    });
    given.map(zeroize::Zeroizing::new)
}

impl Default for Site {
    fn default() -> Site {
        Site {
            name: "wayside".to_owned(),
            zone: "UTC".to_owned(),
            base_url: None,
        }
    }
}

impl Default for Http {
    fn default() -> Http {
        Http {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            tls_cert: None,
            tls_key: None,
            body_size_bytes_max: 50 * 1024 * 1024,
            requests_per_second: 1000,
            burst: 2000,
            connections_max: 1024,
            page_size: 50,
            page_size_max: 1000,
            bundle_entries_max: 20_000,
            conditional_delete_max: 1,
            host_names: Vec::new(),
        }
    }
}

impl Default for Mllp {
    fn default() -> Mllp {
        Mllp {
            listen: SocketAddr::from(([127, 0, 0, 1], 2575)),
            connections: Vec::new(),
        }
    }
}

impl Default for Subscriptions {
    fn default() -> Subscriptions {
        Subscriptions {
            hosts: Vec::new(),
            tries_max: 20,
            retry_cap_ms: 15 * 60 * 1000,
        }
    }
}

impl Default for Store {
    fn default() -> Store {
        Store {
            folder: PathBuf::from("wayside-data"),
            key_file: None,
            passphrase_file: None,
            map_size_bytes: 1024 * 1024 * 1024,
            queue_length_max: 1024,
            starts_until_read_only: 10,
        }
    }
}

impl Default for Backup {
    fn default() -> Backup {
        Backup {
            folder: None,
            every_hours: 24,
            keep_daily: 7,
            keep_weekly: 5,
            keep_monthly: 12,
            drill_every_days: 7,
            s3: None,
            sftp: None,
        }
    }
}

impl Default for Integrity {
    fn default() -> Integrity {
        Integrity {
            scrub_every_days: 7,
        }
    }
}

impl Default for Log {
    fn default() -> Log {
        Log {
            format: LogFormat::Human,
            level: "info".to_owned(),
        }
    }
}

impl Backup {
    fn check(&self) -> Result<(), ConfigError> {
        if self.every_hours == 0 {
            return invalid("backup.every_hours", "must be greater than 0");
        }
        let places = [
            self.folder.is_some(),
            self.s3.is_some(),
            self.sftp.is_some(),
        ];
        if places.iter().filter(|is_given| **is_given).count() > 1 {
            let detail = "give a folder, or backup.s3, or backup.sftp: one place alone";
            return invalid("backup.folder", detail);
        }
        let Some(s3) = &self.s3 else { return Ok(()) };
        let uri: Option<http::Uri> = s3.endpoint.parse().ok();
        let scheme = uri.as_ref().and_then(http::Uri::scheme_str);
        if !matches!(scheme, Some("http" | "https")) {
            return invalid("backup.s3.endpoint", "takes an http:// or https:// address");
        }
        if s3.bucket.is_empty() || s3.bucket.contains('/') {
            return invalid("backup.s3.bucket", "takes the name of a bucket");
        }
        Ok(())
    }
}

fn default_region() -> String {
    "us-east-1".to_owned()
}

fn default_ssh_port() -> u16 {
    22
}

fn default_charset() -> String {
    "UNICODE UTF-8".to_owned()
}

fn default_true() -> bool {
    true
}

fn default_pull_interval_s() -> u64 {
    10
}

#[cfg(test)]
mod tests;
