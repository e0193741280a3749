//! `wayside restore`: a whole site from a backup into a folder, or single resources and patients from
//! one into the running site, as new versions.

use super::backup::{KeyArgs, chosen, open};
use super::remote::Remote;
use super::{CliError, Exit, PlaceArgs, say, tell};
use crate::app;
use crate::config::Config;
use clap::Args;
use gateway_ground::clock::{Clock, format_instant};
use gateway_ground::keys::{self, Places};
use gateway_repository::{EverythingRequest, Repository};
use http::Method;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::collections::HashSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use store::{OpenOptions, ResourceKey, Store, StoredVersion, VersionId};
use vault::backup::{Folder, Listed, Opened, Proof};
use vault::{Secret, files};

#[derive(Args, Debug)]
#[command(after_help = "A damaged backup is refused before anything is replaced.")]
pub(super) struct RestoreArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    key: KeyArgs,
    /// Folder that `wayside backup` wrote to
    from: PathBuf,
    /// The newest backup not after this time (2026-03-01T10:00:00Z) or change number [default: the
    /// newest]
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
    let shelf = Folder::new(&args.from);
    let opened = open(&shelf, &config, &args.key)?;
    let one = chosen(&opened, args.at.as_deref())?.pop();
    let one = one.ok_or(vault::VaultError::NoBackup)?;
    if args.resource.is_some() || args.patient.is_some() {
        return single(&config, &args, (&opened, &one));
    }
    whole(&config, args.replace, (&opened, &one))
}

/// The whole site: into an empty place, or beside the store and then in its place in one step.
fn whole(
    config: &Config,
    replace: bool,
    (opened, one): (&Opened<'_>, &Listed),
) -> Result<Exit, CliError> {
    let places = app::places(config);
    if !places.has_store() {
        keys::ensure_folder(&places.data)?;
        told(&restore(&places, &places.data, (opened, one))?, one);
        return Ok(Exit::Done);
    }
    if !replace {
        let folder = places.data.display();
        return Err(CliError::failed(format!(
            "E-RESTORE-1: {folder} holds a store; give --replace to keep that one beside it, or \
             another --data"
        )));
    }
    let _held = hold(&places)?;
    let fresh = beside(&places, "restoring");
    if fresh.exists() {
        fs::remove_dir_all(&fresh).map_err(|e| refused(&fresh, &e))?;
    }
    keys::ensure_folder(&fresh)?;
    let proof = restore(&places, &fresh, (opened, one))?;
    let now = format_instant(Clock::system(0).now_ms()).replace(':', "");
    let former = beside(&places, &format!("before-{now}"));
    renameat_with(CWD, &fresh, CWD, &places.data, RenameFlags::EXCHANGE)
        .map_err(|e| refused(&places.data, &e.into()))?;
    files::sync_folder_of(&places.data)?;
    fs::rename(&fresh, &former).map_err(|e| refused(&former, &e))?;
    files::sync_folder_of(&former)?;
    told(&proof, one);
    tell(&format!(
        "The former store is {}: delete it when all is well.",
        former.display()
    ));
    Ok(Exit::Done)
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

fn options(folder: &Path) -> OpenOptions {
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

fn beside(places: &Places, suffix: &str) -> PathBuf {
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
