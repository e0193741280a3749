//! `wayside backup`: takes, lists and checks backups. Taking works on the folder of a stopped gateway, and
//! asks a running one, which goes on serving.

use super::remote::Remote;
use super::{CliError, Exit, PlaceArgs, say, tell};
use crate::app::{self, StartError};
use crate::config::Config;
use clap::{Args, Subcommand};
use gateway_ground::clock::{Clock, Stopwatch, format_instant};
use gateway_ground::keys::{self, Places};
use gateway_ground::safekeeping::{Asked, BackupState};
use http::Method;
use std::path::{Path, PathBuf};
use std::time::Duration;
use store::{Store, StoreError};
use vault::backup::{self, Folder, Listed, Opened, Taken};
use vault::{Secret, Slots};

#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct BackupArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Folder to keep backups in, as on a stick; made when it is not there [default: backup.folder]
    #[arg(value_name = "FOLDER")]
    to: Option<PathBuf>,
    /// Base URL of the running gateway [default: where it left word that it answers]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Administrator's token for a running gateway [default: the one made at the first start]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<BackupCommand>,
}

#[derive(Subcommand, Debug)]
enum BackupCommand {
    /// List the backups of a folder: time, last change, name
    List(LookArgs),
    /// Open every part of a backup and compare it with its digest
    Verify(LookArgs),
}

#[derive(Args, Debug)]
struct LookArgs {
    #[command(flatten)]
    key: KeyArgs,
    /// Folder that `wayside backup` wrote to
    folder: PathBuf,
    /// Only the newest backup not after this time (2026-03-01T10:00:00Z) or change number
    #[arg(long, value_name = "TIME|SEQ")]
    at: Option<String>,
}

/// What opens a backup: each way into the store.
#[derive(Args, Debug)]
pub(super) struct KeyArgs {
    /// Holds the recovery key or enough shares (mode 600) [default: the site's key file or
    /// passphrase; else it is typed]
    #[arg(long, value_name = "FILE")]
    recovery_file: Option<PathBuf>,
}

const POLL_EVERY: Duration = Duration::from_millis(300);

pub(super) fn run(args: BackupArgs) -> Result<Exit, CliError> {
    let config = args.place.load()?;
    match &args.command {
        Some(BackupCommand::List(look)) => list(&config, look),
        Some(BackupCommand::Verify(look)) => verify(&config, look),
        None => take(&config, &args),
    }
}

fn take(config: &Config, args: &BackupArgs) -> Result<Exit, CliError> {
    let places = app::places(config);
    if !places.has_store() {
        let folder = places.data.display();
        return Err(CliError::failed(format!(
            "E-CLI-15: there is no store in {folder}; give --data"
        )));
    }
    let to = args.to.clone().or_else(|| config.backup.folder.clone());
    let to = to.ok_or_else(|| {
        CliError::usage("E-CLI-16: where to? give a folder, or backup.folder in the configuration")
    })?;
    Folder::new(&to).make()?;
    let opened = if args.url.is_some() {
        Err(StartError::Store(StoreError::Locked))
    } else {
        app::open_store(config)
    };
    match opened {
        Ok(store) => {
            let taken = take_here(&store, &places, &to);
            store.close();
            said(&taken?);
        }
        Err(StartError::Store(StoreError::Locked)) => {
            let remote = Remote::new(config, args.url.as_deref(), args.token_file.as_ref())?;
            ask(&remote, &to)?;
        }
        Err(error) => return Err(error.into()),
    }
    Ok(Exit::Done)
}

fn take_here(store: &Store, places: &Places, to: &Path) -> Result<Taken, CliError> {
    let slots = Slots::load(&places.data)?.ok_or_else(|| {
        CliError::failed("E-CLI-17: the store has no recovery key; run `wayside keys sheet` first")
    })?;
    let now_ms = Clock::system(0).now_ms();
    let random: fn(&mut [u8]) = keys::random;
    let from = (random, now_ms);
    Ok(backup::take(store, &slots, &Folder::new(to), from)?)
}

fn said(taken: &Taken) {
    let lines = [
        ("resources", taken.resources),
        ("last change", taken.seq),
        ("rows", taken.rows),
        ("bytes", taken.bytes),
        ("bytes written", taken.bytes_new),
    ];
    for (name, count) in lines {
        say(&format!("{name:<16} {count:>12}"));
    }
    say(&format!("digest {}", taken.digest));
    say(&taken.name);
}

/// The gateway takes it; waits until it says that it is there.
fn ask(remote: &Remote, to: &Path) -> Result<(), CliError> {
    let fault = |e: serde_json::Error| {
        CliError::failed(format!(
            "E-CLI-18: the gateway's answer cannot be read: {e}; use the same release for both"
        ))
    };
    let to = to
        .canonicalize()
        .map_err(|e| CliError::failed(format!("E-CLI-19: {} cannot be used: {e}", to.display())))?;
    let body = serde_json::json!({ "folder": to }).to_string();
    let answer = remote.ask(Method::POST, "/admin/backup", body.into_bytes())?;
    let asked: Asked = serde_json::from_slice(&answer).map_err(fault)?;
    tell("The running gateway takes the backup.");
    loop {
        std::thread::sleep(POLL_EVERY);
        let answer = remote.ask(Method::GET, "/admin/backup", Vec::new())?;
        let state: BackupState = serde_json::from_slice(&answer).map_err(fault)?;
        if state.done < asked.number {
            continue;
        }
        if let Some(failed) = state.failed {
            return Err(CliError::failed(failed.text));
        }
        if let Some(last) = state.last {
            say(&format!("{:<16} {:>12}", "resources", last.resources));
            say(&format!("{:<16} {:>12}", "last change", last.seq));
            say(&format!("{:<16} {:>12}", "bytes written", last.bytes_new));
            say(&last.name);
        }
        return Ok(());
    }
}

fn list(config: &Config, look: &LookArgs) -> Result<Exit, CliError> {
    let shelf = Folder::new(&look.folder);
    let opened = open(&shelf, config, &look.key)?;
    say(&format!("store {}", opened.store()));
    for one in chosen(&opened, look.at.as_deref())? {
        say(&line_of(&one));
    }
    Ok(Exit::Done)
}

fn line_of(one: &Listed) -> String {
    format!("{}\t{}\t{}", format_instant(one.time_ms), one.seq, one.name)
}

fn verify(config: &Config, look: &LookArgs) -> Result<Exit, CliError> {
    let shelf = Folder::new(&look.folder);
    let opened = open(&shelf, config, &look.key)?;
    let mut exit = Exit::Done;
    for one in chosen(&opened, look.at.as_deref())? {
        let watch = Stopwatch::start();
        match opened.verify(&one.name) {
            Ok(proof) => say(&format!(
                "{}\tsound: {} resources, {} rows, {} packs, {} ms",
                line_of(&one),
                proof.resources,
                proof.rows,
                proof.packs,
                watch.elapsed().as_millis()
            )),
            Err(error) => {
                say(&format!("{}\t{error}", line_of(&one)));
                exit = Exit::Findings;
            }
        }
    }
    Ok(exit)
}

/// Opens a folder of backups by the recovery file, the site's own key, or what is typed.
pub(super) fn open<'a>(
    shelf: &'a Folder,
    config: &Config,
    key: &KeyArgs,
) -> Result<Opened<'a>, CliError> {
    let places = app::places(config);
    let secret = if let Some(file) = &key.recovery_file {
        super::keys::recovery_secret(keys::read_secret(file)?.lines())?
    } else if let Some(passphrase) = app::passphrase(config)? {
        Secret::Passphrase(passphrase)
    } else if places.key_file().exists() {
        Secret::KeyFile(keys::read_key_file(&places.key_file())?)
    } else {
        super::keys::typed_recovery()?
    };
    backup::open(shelf, &secret, keys::random).map_err(|e| {
        CliError::failed(match e {
            vault::VaultError::Refused(_) | vault::VaultError::NoSuchWay(_) => {
                format!("{e}; or give the recovery key with --recovery-file")
            }
            other => other.to_string(),
        })
    })
}

/// All backups, or the newest one at a point; refuses when there is none.
pub(super) fn chosen(opened: &Opened<'_>, at: Option<&str>) -> Result<Vec<Listed>, CliError> {
    let all = opened.list()?;
    let none = || {
        CliError::failed("E-CLI-20: no backup is that old; `wayside backup list` shows them all")
    };
    if all.is_empty() {
        return Err(vault::VaultError::NoBackup.into());
    }
    let Some(at) = at else { return Ok(all) };
    let point = point_of(at)?;
    let before = all.into_iter().rev().find(|one| match point {
        Point::Seq(seq) => one.seq <= seq,
        Point::Time(time_ms) => one.time_ms <= time_ms,
    });
    Ok(vec![before.ok_or_else(none)?])
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    Seq(u64),
    Time(i64),
}

fn point_of(at: &str) -> Result<Point, CliError> {
    if let Ok(seq) = at.parse() {
        return Ok(Point::Seq(seq));
    }
    let time: jiff::Timestamp = at.parse().map_err(|e| {
        CliError::usage(format!(
            "E-CLI-21: --at {at}: {e}; give a time with its zone, as 2026-03-01T10:00:00Z, or a \
             change number"
        ))
    })?;
    Ok(Point::Time(time.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_times_or_change_numbers() {
        let check = |text: &str, expected: Option<Point>| {
            assert_eq!(point_of(text).ok(), expected, "{text}");
        };
        check("17", Some(Point::Seq(17)));
        check("1970-01-01T00:00:01Z", Some(Point::Time(1000)));
        check("1970-01-01T02:00:01+02:00", Some(Point::Time(1000)));
        check("1970-01-01T00:00:01", None);
        check("yesterday", None);
        check("-1", None);
    }
}
