//! From the configuration's tree to the small structs that the parts are given.

use super::StartError;
use crate::config::{self, Config, ConfigError};
use fhir_mapping::model::IssueCode;
use gateway_devices::{ConnectionRule, DeviceSettings};
use gateway_ground::failure::{Category, Failure};
use gateway_http::interactions::{Door, Strictness};
use gateway_jobs::backups::BackupSettings;
use gateway_jobs::places::{BackupPlace, S3Settings, SftpSettings};
use gateway_jobs::scrub::ScrubSettings;
use gateway_jobs::subscriptions::SubscriptionSettings;
use gateway_repository::{ImportSources, Repository};
use gateway_sync::TargetSettings;
use std::collections::BTreeMap;
use store::{CommitError, RowWrite, Store, Table, View, WriteSet};

/// Row of `Table::Site`: which number each target was given, as JSON. Numbers are parts of keys on
/// disk, so a target keeps its own whatever its place in the configuration.
const NUMBERS_KEY: &[u8] = b"targets";

pub(super) fn subscription_settings(config: &Config) -> SubscriptionSettings {
    SubscriptionSettings {
        hosts: config.subscriptions.hosts.clone(),
        tries_max: config.subscriptions.tries_max,
        retry_cap_ms: config.subscriptions.retry_cap_ms,
    }
}

/// Backups by the clock.
pub(super) fn scrub_settings(config: &Config) -> ScrubSettings {
    let days = i64::from(config.integrity.scrub_every_days);
    ScrubSettings {
        every_ms: days * 24 * 3_600_000,
    }
}

pub(super) fn backup_settings(config: &Config) -> BackupSettings {
    let backup = &config.backup;
    let hours_ms = |hours: u32| i64::from(hours) * 3_600_000;
    BackupSettings {
        data: config.store.folder.clone(),
        place: backup_place(config),
        every_ms: hours_ms(backup.every_hours),
        keep: vault::backup::Keep {
            daily: backup.keep_daily,
            weekly: backup.keep_weekly,
            monthly: backup.keep_monthly,
        },
        drill_every_ms: hours_ms(backup.drill_every_days.saturating_mul(24)),
    }
}

/// Where backups go by themselves; absent, nowhere.
pub(crate) fn backup_place(config: &Config) -> Option<BackupPlace> {
    let backup = &config.backup;
    let folder = backup.folder.clone().map(BackupPlace::Folder);
    let s3 = backup.s3.as_ref().map(|s3| {
        BackupPlace::S3(S3Settings {
            endpoint: s3.endpoint.trim_end_matches('/').to_owned(),
            bucket: s3.bucket.clone(),
            prefix: s3.prefix.clone(),
            region: s3.region.clone(),
            credentials_file: s3.credentials_file.clone(),
        })
    });
    let mut aside = config.store.folder.clone().into_os_string();
    aside.push(".transfer");
    let sftp = backup.sftp.as_ref().map(|sftp| {
        BackupPlace::Sftp(SftpSettings {
            address: sftp.address.clone(),
            port: sftp.port,
            folder: sftp.folder.clone(),
            key_file: sftp.key_file.clone(),
            known_hosts: sftp.known_hosts.clone(),
            aside: aside.into(),
        })
    });
    folder.or(s3).or(sftp)
}

/// Devices by address, those without one last.
pub(super) fn device_settings(config: &Config) -> Result<DeviceSettings, ConfigError> {
    let zone = config.zone()?;
    let mut settings = DeviceSettings::for_zone(zone.clone());
    if config.mllp.connections.is_empty() {
        return Ok(settings);
    }
    let rule = |connection: &config::MllpConnection| ConnectionRule {
        address: connection.address,
        connection: fhir_mapping::v2::Connection {
            name: connection.name.clone(),
            patient_system: connection.patient_system.clone(),
            charset: connection.charset.clone(),
            authorities: connection.authorities.clone().into_iter().collect(),
            zone: zone.clone(),
        },
    };
    settings.rules = config.mllp.connections.iter().map(rule).collect();
    settings.rules.sort_by_key(|rule| rule.address.is_none()); // named addresses first
    Ok(settings)
}

/// How strict the site is with what clients send, and where imports may read from.
pub(super) fn door(config: &Config) -> Door {
    let level = |level: &config::ValidationLevel| match level {
        config::ValidationLevel::Off => Strictness::Off,
        config::ValidationLevel::Structure => Strictness::Structure,
        config::ValidationLevel::Full => Strictness::Full,
    };
    let profiles = config.validation.profiles.iter();
    Door {
        level: level(&config.validation.level),
        profiles: profiles.map(|(url, of)| (url.clone(), level(of))).collect(),
        sources: ImportSources {
            hosts: config.import.hosts.clone(),
            folder: config.import.folder.clone(),
        },
    }
}

/// All targets with the numbers they were given when first seen.
pub(super) fn target_settings(
    config: &Config,
    repository: &Repository,
) -> Result<Vec<TargetSettings>, StartError> {
    let names: Vec<String> = config.targets.iter().map(|t| t.name.clone()).collect();
    let numbers = target_numbers(repository.store(), names)?;
    let numbered = config.targets.iter().filter_map(|target| {
        let number = numbers.get(&target.name)?;
        Some(target_setting(*number, target))
    });
    numbered.collect()
}

fn given_numbers(view: &View<'_>) -> Result<BTreeMap<String, u16>, Failure> {
    match view.row(Table::Site, NUMBERS_KEY)? {
        Some(row) => serde_json::from_slice(&row).map_err(|e| unreadable(&e)),
        None => Ok(BTreeMap::new()),
    }
}

fn target_numbers(store: &Store, names: Vec<String>) -> Result<BTreeMap<String, u16>, Failure> {
    let numbers = given_numbers(&store.snapshot()?.view())?;
    // A store that is open for reading alone must start too.
    if names.iter().all(|name| numbers.contains_key(name)) {
        return Ok(numbers);
    }
    let plan = move |view: &View<'_>| {
        let mut numbers = given_numbers(view)?;
        let known = numbers.len();
        for name in names {
            let next = numbers
                .values()
                .max()
                .copied()
                .unwrap_or(0)
                .saturating_add(1);
            numbers.entry(name).or_insert(next);
        }
        let mut writes = WriteSet::default();
        if numbers.len() > known {
            let value = serde_json::to_vec(&numbers).map_err(|e| unreadable(&e))?;
            writes.rows.push(RowWrite {
                table: Table::Site,
                key: NUMBERS_KEY.to_vec(),
                value: Some(value),
            });
        }
        Ok((writes, numbers))
    };
    match tokio::task::block_in_place(|| store.commit(plan)) {
        Ok((_committed, numbers)) => Ok(numbers),
        Err(CommitError::Refused(failure)) => Err(failure),
        Err(CommitError::Store(error)) => Err(error.into()),
    }
}

fn unreadable(error: &serde_json::Error) -> Failure {
    let text = format!("the numbers of the targets cannot be read: {error}; restore a backup");
    Failure::new(Category::Fault, "E-START-6", IssueCode::Exception, text)
}

fn target_setting(number: u16, target: &config::Target) -> Result<TargetSettings, StartError> {
    let token = match &target.token_file {
        None => target.token.clone(),
        Some(file) => {
            let text = std::fs::read_to_string(file).map_err(|e| StartError::TargetToken {
                target: target.name.clone(),
                detail: e.to_string(),
            })?;
            Some(text.trim().to_owned())
        }
    };
    let mut settings = TargetSettings::new(number, target.name.clone(), target.url.clone());
    settings.token = token;
    settings.types.clone_from(&target.types);
    settings.pull = target.pull;
    settings.pull_interval_ms = target.pull_interval_s.saturating_mul(1000);
    settings.gzip = target.gzip;
    Ok(settings)
}
