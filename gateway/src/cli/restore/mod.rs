//! `wayside restore`: a whole site from a backup into a folder, or single resources and patients from
//! one into the running site, as new versions.

pub(super) mod point;

use super::backup::{KeyArgs, open, place};
use super::remote::Remote;
use super::{CliError, Exit, PlaceArgs, say, tell};
use crate::app;
use crate::config::Config;
use clap::Args;
use gateway_ground::clock::{Clock, format_instant};
use gateway_ground::keys::{self, Places};
use gateway_repository::{EverythingRequest, Replayed, Repository, Until};
use http::Method;
use point::{Route, route};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::collections::HashSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use store::{Keys, OpenOptions, ResourceKey, Store, StoredVersion, VersionId};
use vault::backup::{Listed, Opened, Proof};
use vault::{Secret, Slots, files};

#[derive(Args, Debug)]
#[command(after_help = "A damaged backup is refused before anything is replaced.")]
pub(super) struct RestoreArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    key: KeyArgs,
    /// Folder that `wayside backup` wrote to [default: the place in `[backup]` of the configuration]
    from: Option<PathBuf>,
    /// The site as it was at this time (2026-03-01T10:00:00Z) or after this change number: the newest
    /// backup not after it, and the changes up to it out of a later one; single resources and patients
    /// are taken from that backup as it is [default: the newest backup]
    #[arg(long, value_name = "TIME|SEQ")]
    at: Option<String>,
    /// Put the restored store in the place of the one in --data, which is kept beside it
    #[arg(long)]
    replace: bool,
    /// Only this resource, `Type/id` or `Type/id/_history/version`, as a new version of the running
    /// site
    #[arg(long, value_name = "RESOURCE", conflicts_with_all = ["replace", "patient"])]
    resource: Option<String>,
    /// Only this Patient and its compartment, as new versions of the running site
    #[arg(long, value_name = "ID", conflicts_with = "replace")]
    patient: Option<String>,
    /// Base URL of the running gateway [default: where it left word that it answers]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Administrator's token for a running gateway [default: the one made at the first start]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Resources in one page of a patient's compartment.
const PAGE: usize = 200;

pub(super) fn run(args: RestoreArgs) -> Result<Exit, CliError> {
    let config = args.place.load()?;
    let shelf = place(&config, args.from.as_ref())?.shelf()?;
    let opened = open(&*shelf, &config, &args.key)?;
    let route = route(&opened, args.at.as_deref())?;
    if args.resource.is_some() || args.patient.is_some() {
        return single(&config, &args, (&opened, &route.base));
    }
    whole(&config, args.replace, (&opened, &route))
}

/// The whole site. A plain backup goes into an empty place right away, for the store is there in one step
/// when all was checked. Everything else is made beside its place and moved there in one step.
fn whole(
    config: &Config,
    replace: bool,
    (opened, route): (&Opened<'_>, &Route),
) -> Result<Exit, CliError> {
    let places = app::places(config);
    let is_there = places.has_store();
    if is_there && !replace {
        let folder = places.data.display();
        return Err(CliError::failed(format!(
            "E-RESTORE-1: {folder} holds a store; give --replace to keep that one beside it, or \
             another --data"
        )));
    }
    if places.is_half_restored() {
        tell("An earlier restore was cut off; this one begins anew.");
    }
    let _held = is_there.then(|| hold(&places)).transpose()?;
    clear_way(&places)?;
    if is_there && Places::restore_mark(&places.data).exists() {
        unmark(&places)?;
    }
    let is_beside = is_there || route.onward.is_some();
    let fresh = match is_beside {
        true => beside(&places, "restoring"),
        false => places.data.clone(),
    };
    keys::ensure_folder(&fresh)?;
    files::write_once(&Places::restore_mark(&fresh), b"")?;
    let made = made(config, &fresh, (opened, route));
    if made.is_err() && !is_beside {
        unmark(&places)?;
    }
    let (proof, replayed) = made?;
    let former = match (is_there, is_beside) {
        (true, _) => Some(exchange(&places, &fresh)?),
        (false, true) => settle(&places, &fresh).map(|()| None)?,
        (false, false) => None,
    };
    unmark(&places)?;
    told(&proof, &route.base);
    if let Some(replayed) = replayed {
        told_further(&replayed);
    }
    if let Some(former) = former {
        tell(&format!(
            "The former store is {}: delete it when all is well.",
            former.display()
        ));
    }
    Ok(Exit::Done)
}

fn made(
    config: &Config,
    fresh: &Path,
    (opened, route): (&Opened<'_>, &Route),
) -> Result<(Proof, Option<Replayed>), CliError> {
    let places = app::places(config);
    let proof = restore(&places, fresh, (opened, &route.base))?;
    let onward = route.onward.as_ref();
    let replayed = onward.map(|onward| carry_on(config, (&places, fresh), opened, onward));
    Ok((proof, replayed.transpose()?))
}

/// A store without the mark counts as any other.
fn unmark(places: &Places) -> Result<(), CliError> {
    let mark = Places::restore_mark(&places.data);
    fs::remove_file(&mark).map_err(|e| refused(&mark, &e))?;
    Ok(files::sync_folder_of(&mark)?)
}

/// What an earlier restore left beside the store: half of one, which goes; or the former store, when it
/// was cut off between the exchange and the last step, which is kept as that step would have.
fn clear_way(places: &Places) -> Result<(), CliError> {
    let fresh = &beside(places, "restoring");
    if !fresh.exists() {
        return Ok(());
    }
    if !Places::restore_mark(fresh).exists() && fresh.join("data.mdb").exists() {
        let former = put_former_aside(places, fresh)?;
        tell(&format!(
            "An earlier restore was cut off when all was done but the last step: the store before it \
             is {} now.",
            former.display()
        ));
        return Ok(());
    }
    fs::remove_dir_all(fresh).map_err(|e| refused(fresh, &e))?;
    tell(&format!(
        "An earlier restore was cut off; what it left in {} is gone, and this one begins anew.",
        fresh.display()
    ));
    Ok(())
}

fn exchange(places: &Places, fresh: &Path) -> Result<PathBuf, CliError> {
    renameat_with(CWD, fresh, CWD, &places.data, RenameFlags::EXCHANGE)
        .map_err(|e| refused(&places.data, &e.into()))?;
    files::sync_folder_of(&places.data)?;
    put_former_aside(places, fresh)
}

fn put_former_aside(places: &Places, fresh: &Path) -> Result<PathBuf, CliError> {
    let now = format_instant(Clock::system(0).now_ms()).replace(':', "");
    let former = beside(places, &format!("before-{now}"));
    fs::rename(fresh, &former).map_err(|e| refused(&former, &e))?;
    files::sync_folder_of(&former)?;
    Ok(former)
}

/// Into a place that holds no store: an empty folder makes way, any other is not ours to touch.
fn settle(places: &Places, fresh: &Path) -> Result<(), CliError> {
    fs::rename(fresh, &places.data).map_err(|e| refused(&places.data, &e))?;
    files::sync_folder_of(&places.data)?;
    Ok(())
}

/// Brings what was restored to the very point, out of a later backup that is put together for it, sealed,
/// and goes again.
fn carry_on(
    config: &Config,
    (places, fresh): (&Places, &Path),
    opened: &Opened<'_>,
    (later, until): &(Listed, Until),
) -> Result<Replayed, CliError> {
    let aside = beside(places, "looking-back");
    if aside.exists() {
        fs::remove_dir_all(&aside).map_err(|e| refused(&aside, &e))?;
    }
    keys::ensure_folder(&aside)?;
    let (_proof, keys) = opened.restore_aside(&later.name, &options(&aside))?;
    let later = Store::open(options(&aside), keys)?;
    let key = Secret::KeyFile(keys::read_key_file(&places.key_file())?);
    let slots = Slots::load(fresh)?.ok_or(vault::VaultError::NoBackup)?;
    let keys = Keys {
        key_encryption_key: *slots.unlock(&key)?.current,
    };
    let store = Store::open(options(fresh), keys)?;
    let zone = fhir_mapping::search::Zone::of(config.zone()?);
    let repository = Repository::new(store.clone(), Clock::system(0), zone);
    let replayed = repository.replay(&later, *until);
    drop(repository);
    store.close();
    later.close();
    fs::remove_dir_all(&aside).map_err(|e| refused(&aside, &e))?;
    Ok(replayed?)
}

fn told_further(replayed: &Replayed) {
    let lines = [
        ("changes added", replayed.changes),
        ("last change", replayed.last),
        ("erased since", replayed.erased),
        ("audit added", replayed.audit_entries),
    ];
    for (name, count) in lines {
        say(&format!("{name:<16} {count:>12}"));
    }
    tell(
        "The resources are as they were at the time asked for. What goes to remote systems, messages of \
         devices and tokens are as in the backup before it.",
    );
}

fn told(proof: &Proof, one: &Listed) {
    let lines = [
        ("resources", proof.resources),
        ("last change", proof.seq),
        ("audit entries", proof.audit),
        ("rows", proof.rows),
    ];
    for (name, count) in lines {
        say(&format!("{name:<16} {count:>12}"));
    }
    say(&format!("digest {}", proof.digest));
    let time = format_instant(one.time_ms);
    tell(&format!(
        "Restored as it was at {time}. What was written later is not in it; remote systems are \
         sent what they may have already, and keep one of each."
    ));
}

/// Restores into a folder without a store. Where the site's key file opens nothing of the backup it
/// becomes a way of its own.
fn restore(
    places: &Places,
    folder: &Path,
    (opened, one): (&Opened<'_>, &Listed),
) -> Result<Proof, CliError> {
    let file = places.key_file();
    if !file.exists() {
        keys::write_key_file(&file, &keys::random_key())?;
    }
    let key = Secret::KeyFile(keys::read_key_file(&file)?);
    let is_new = !opened.opens(&key);
    let now_ms = Clock::system(0).now_ms();
    let added = is_new.then_some(&key);
    Ok(opened.restore(&one.name, &options(folder), (added, now_ms))?)
}

pub(super) fn options(folder: &Path) -> OpenOptions {
    OpenOptions {
        folder: folder.to_owned(),
        map_size_bytes: 1 << 26,
        queue_length_max: 16,
        random: keys::random,
    }
}

/// Nobody may use the store while another takes its place.
fn hold(places: &Places) -> Result<File, CliError> {
    let path = places.data.join("store.lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|e| refused(&path, &e))?;
    file.try_lock().map_err(|_held| {
        CliError::failed("E-RESTORE-2: a running gateway holds the store; stop it first")
    })?;
    Ok(file)
}

pub(super) fn beside(places: &Places, suffix: &str) -> PathBuf {
    let mut name = places.data.clone().into_os_string();
    name.push(format!(".{suffix}"));
    PathBuf::from(name)
}

fn refused(path: &Path, error: &std::io::Error) -> CliError {
    let path = path.display();
    CliError::failed(format!(
        "E-RESTORE-3: cannot use {path}: {error}; nothing was replaced, check it and try again"
    ))
}

/// Resources of a backup into the running site. The backup is put together sealed in a folder of its
/// own, which goes again.
fn single(
    config: &Config,
    args: &RestoreArgs,
    (opened, one): (&Opened<'_>, &Listed),
) -> Result<Exit, CliError> {
    let remote = Remote::new(config, args.url.as_deref(), args.token_file.as_ref())?;
    remote.ask(Method::GET, "/readyz", Vec::new())?;
    let found = look_into(config, (opened, one), |backup| found_in(backup, args))?;
    for version in &found {
        put_back(&remote, version)?;
    }
    Ok(Exit::Done)
}

/// Looks into a backup, which is put together sealed in a folder of its own that goes again.
pub(super) fn look_into<T>(
    config: &Config,
    (opened, one): (&Opened<'_>, &Listed),
    look: impl FnOnce(&Repository) -> Result<T, CliError>,
) -> Result<T, CliError> {
    let folder = beside(&app::places(config), "looking-back");
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|e| refused(&folder, &e))?;
    }
    let found = look_back(config, (opened, one, &folder), look);
    let gone = fs::remove_dir_all(&folder).map_err(|e| refused(&folder, &e));
    let found = found?;
    gone?;
    Ok(found)
}

fn look_back<T>(
    config: &Config,
    (opened, one, folder): (&Opened<'_>, &Listed, &Path),
    look: impl FnOnce(&Repository) -> Result<T, CliError>,
) -> Result<T, CliError> {
    keys::ensure_folder(folder)?;
    let (_proof, keys) = opened.restore_aside(&one.name, &options(folder))?;
    let store = Store::open(options(folder), keys)?;
    let zone = fhir_mapping::search::Zone::of(config.zone()?);
    let repository = Repository::new(store.clone(), Clock::system(0), zone);
    let found = look(&repository);
    drop(repository);
    store.close();
    found
}

fn found_in(backup: &Repository, args: &RestoreArgs) -> Result<Vec<StoredVersion>, CliError> {
    match (&args.resource, &args.patient) {
        (Some(resource), _) => resource_of(backup, resource).map(|one| vec![one]),
        (None, Some(id)) => compartment_of(backup, id),
        (None, None) => Ok(Vec::new()),
    }
}

fn resource_of(repository: &Repository, asked: &str) -> Result<StoredVersion, CliError> {
    let parts: Vec<&str> = asked.split('/').collect();
    let key = |resource_type: &str, id: &str| ResourceKey {
        resource_type: resource_type.to_owned(),
        id: id.to_owned(),
    };
    let wrong = || {
        CliError::usage(format!(
            "E-RESTORE-4: {asked} is no resource; give Type/id or Type/id/_history/version"
        ))
    };
    match parts.as_slice() {
        [resource_type, id] => Ok(repository.read(&key(resource_type, id))?),
        [resource_type, id, "_history", version] => {
            let version = version.parse().map_err(|_no_number| wrong())?;
            Ok(repository.vread(&key(resource_type, id), VersionId(version))?)
        }
        _ => Err(wrong()),
    }
}

/// The Patient and its compartment, without what those merely mention.
fn compartment_of(repository: &Repository, id: &str) -> Result<Vec<StoredVersion>, CliError> {
    let mut request = EverythingRequest {
        focus: ResourceKey {
            resource_type: "Patient".to_owned(),
            id: id.to_owned(),
        },
        types: HashSet::new(),
        since_ms: None,
        start: None,
        end: None,
        count: PAGE,
        after: None,
        rid_max: None,
    };
    let mut found = Vec::new();
    loop {
        let page = repository.everything(&request)?;
        found.extend(page.matches);
        if page.next.is_none() {
            return Ok(found);
        }
        request.after = page.next;
    }
}

fn put_back(remote: &Remote, version: &StoredVersion) -> Result<(), CliError> {
    let key = &version.key;
    let path = format!("/fhir/{}/{}", key.resource_type, key.id);
    remote.ask(Method::PUT, &path, version.body.clone())?;
    say(&format!(
        "{}/{}\tversion {} is back",
        key.resource_type, key.id, version.version.0
    ));
    Ok(())
}
