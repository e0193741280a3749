//! `wayside backup`: takes, lists and checks backups. Taking works on the folder of a stopped gateway, and
//! asks a running one, which goes on serving.

use super::remote::Remote;
use super::restore::point::chosen;
use super::restore::{beside, options};
use super::{CliError, Exit, PlaceArgs, say, tell};
use crate::app::{self, StartError};
use crate::config::Config;
use clap::{Args, Subcommand};
use gateway_ground::clock::{Clock, Stopwatch, format_instant};
use gateway_ground::keys::{self, Places};
use gateway_ground::safekeeping::{Asked, BackupState};
use gateway_jobs::places::BackupPlace;
use http::Method;
use std::path::{Path, PathBuf};
use std::time::Duration;
use store::{Store, StoreError};
use vault::backup::{self, Check, Depth, Listed, Opened, Proof, Shelf, Taken};
use vault::{Secret, Slots, VaultError};

#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct BackupArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Folder to keep backups in, as on a stick; made when it is not there [default: the place in
    /// `[backup]` of the configuration]
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
    Verify(VerifyArgs),
}

#[derive(Args, Debug)]
struct LookArgs {
    #[command(flatten)]
    key: KeyArgs,
    /// Folder that `wayside backup` wrote to [default: the place in `[backup]` of the configuration]
    folder: Option<PathBuf>,
    /// Only the newest backup not after this time (2026-03-01T10:00:00Z) or change number
    #[arg(long, value_name = "TIME|SEQ")]
    at: Option<String>,
}

#[derive(Args, Debug)]
struct VerifyArgs {
    #[command(flatten)]
    look: LookArgs,
    /// Restore it on trial beside --data too, compare it row by row, and verify the store
    #[arg(long)]
    deep: bool,
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
        Some(BackupCommand::Verify(args)) => verify(&config, args),
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
    let shelf = place(config, args.to.as_ref())?.made()?;
    let opened = if args.url.is_some() {
        Err(StartError::Store(StoreError::Locked))
    } else {
        app::open_store(config)
    };
    match opened {
        Ok(store) => {
            let taken = take_here(&store, &places, &*shelf);
            store.close();
            said(&taken?);
        }
        Err(StartError::Store(StoreError::Locked)) => {
            let remote = Remote::new(config, args.url.as_deref(), args.token_file.as_ref())?;
            ask(&remote, args.to.as_deref())?;
        }
        Err(error) => return Err(error.into()),
    }
    Ok(Exit::Done)
}

/// The folder that was given, or the place in the configuration.
pub(super) fn place(config: &Config, given: Option<&PathBuf>) -> Result<BackupPlace, CliError> {
    let given = given.cloned().map(BackupPlace::Folder);
    given.or_else(|| app::backup_place(config)).ok_or_else(|| {
        CliError::usage("E-CLI-16: where? give a folder, or a place in [backup] of --config")
    })
}

fn take_here(store: &Store, places: &Places, to: &dyn Shelf) -> Result<Taken, CliError> {
    let slots = Slots::load(&places.data)?.ok_or_else(|| {
        CliError::failed("E-CLI-17: the store has no recovery key; run `wayside keys sheet` first")
    })?;
    let now_ms = Clock::system(0).now_ms();
    let random: fn(&mut [u8]) = keys::random;
    let from = (random, now_ms);
    Ok(backup::take(store, &slots, to, from)?)
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
fn ask(remote: &Remote, to: Option<&Path>) -> Result<(), CliError> {
    let fault = |e: serde_json::Error| {
        CliError::failed(format!(
            "E-CLI-18: the gateway's answer cannot be read: {e}; use the same release for both"
        ))
    };
    let unusable = |to: &Path, e: std::io::Error| {
        CliError::failed(format!("E-CLI-19: {} cannot be used: {e}", to.display()))
    };
    let to = to.map(|to| to.canonicalize().map_err(|e| unusable(to, e)));
    let body = match to.transpose()? {
        Some(to) => serde_json::json!({ "folder": to }),
        None => serde_json::json!({}),
    };
    let body = body.to_string();
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
    let shelf = place(config, look.folder.as_ref())?.shelf()?;
    let opened = open(&*shelf, config, &look.key)?;
    say(&format!("store {}", opened.store()));
    for one in chosen(&opened, look.at.as_deref())? {
        let check = opened.last_check(&one.name)?;
        say(&format!("{}\t{}", line_of(&one), words_of(check.as_ref())));
    }
    Ok(Exit::Done)
}

/// When it was looked at, how closely, and what came of it.
fn words_of(check: Option<&Check>) -> String {
    let Some(check) = check else {
        return "not checked yet".to_owned();
    };
    let how = match check.depth {
        Depth::Opened => "opened",
        Depth::Restored => "restored on trial",
    };
    let found = if check.is_sound { "sound" } else { "NOT SOUND" };
    let when = format_instant(check.time_ms);
    format!("{how} {when}: {found}, {}", check.text)
}

fn line_of(one: &Listed) -> String {
    format!("{}\t{}\t{}", format_instant(one.time_ms), one.seq, one.name)
}

fn verify(config: &Config, args: &VerifyArgs) -> Result<Exit, CliError> {
    let look = &args.look;
    let shelf = place(config, look.folder.as_ref())?.shelf()?;
    let opened = open(&*shelf, config, &look.key)?;
    let mut exit = Exit::Done;
    for one in chosen(&opened, look.at.as_deref())? {
        let watch = Stopwatch::start();
        let found = looked_at(config, args.deep, (&opened, &one));
        let took_ms = watch.elapsed().as_millis();
        let text = match &found {
            Ok(proof) => format!(
                "{} resources, {} rows, {} packs, {took_ms} ms",
                proof.resources, proof.rows, proof.packs
            ),
            Err(error) => error.to_string(),
        };
        let word = if found.is_ok() { "sound: " } else { "" };
        say(&format!("{}\t{word}{text}", line_of(&one)));
        if found.is_err() {
            exit = Exit::Findings;
        }
        let check = Check {
            time_ms: Clock::system(0).now_ms(),
            depth: if args.deep {
                Depth::Restored
            } else {
                Depth::Opened
            },
            is_sound: found.is_ok(),
            text,
        };
        // A stick that may only be read is checked all the same.
        if let Err(error) = opened.note(&one.name, &check) {
            tell(&format!("what was found is not written down: {error}"));
        }
    }
    Ok(exit)
}

/// Opens every part; with `deep` puts the store together too, in a folder that goes again.
fn looked_at(
    config: &Config,
    deep: bool,
    (opened, one): (&Opened<'_>, &Listed),
) -> Result<Proof, VaultError> {
    if !deep {
        return opened.verify(&one.name);
    }
    let folder = beside(&app::places(config), "drill");
    let clear = || match std::fs::remove_dir_all(&folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(VaultError::Unusable {
            path: folder.display().to_string(),
            detail: e.to_string(),
        }),
        _ => Ok(()),
    };
    clear()?;
    let drilled = backup::drill(opened, &one.name, || options(&folder));
    clear()?;
    drilled
}

/// Opens a folder of backups by the recovery file, the site's own key, or what is typed.
pub(super) fn open<'a>(
    shelf: &'a dyn Shelf,
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
            VaultError::Refused(_) | VaultError::NoSuchWay(_) => {
                format!("{e}; or give the recovery key with --recovery-file")
            }
            other => other.to_string(),
        })
    })
}
