//! `wayside audit verify`: walks the change log and the audit, and names the first broken entry of each.

use super::remote::Remote;
use super::{CliError, Exit, PlaceArgs, say};
use crate::app::{self, StartError};
use crate::config::Config;
use clap::{Args, Subcommand};
use gateway_repository::{ChainsLooked, ChainsPlace, Repository};
use http::Method;
use std::path::PathBuf;
use store::StoreError;

#[derive(Args, Debug)]
#[command(
    after_help = "Exit code 3: an entry is missing, damaged or does not follow the one before."
)]
pub(super) struct AuditArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Subcommand, Debug)]
enum AuditCommand {
    /// Walk both logs from the first entry to the last, in a folder or through a running gateway
    Verify(VerifyArgs),
}

#[derive(Args, Debug)]
struct VerifyArgs {
    /// Base URL of the running gateway [default: where it left word that it answers]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Administrator's token for a running gateway [default: the one made at the first start]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Steps of 256 entries between two parts, in a folder.
const STEPS: usize = 1000;

pub(super) fn run(args: AuditArgs) -> Result<Exit, CliError> {
    let config = args.place.load()?;
    let AuditCommand::Verify(verify) = &args.command;
    if verify.url.is_some() {
        return asked(verify, &config);
    }
    if !app::places(&config).has_store() {
        let folder = config.store.folder.display();
        return Err(CliError::failed(format!(
            "E-AUDIT-1: there is no store in {folder}; give --data"
        )));
    }
    match app::open_repository(&config) {
        Ok(repository) => {
            let store = repository.store().clone();
            let told = in_folder(&repository);
            drop(repository);
            store.close();
            told
        }
        Err(StartError::Store(StoreError::Locked)) => asked(verify, &config),
        Err(error) => Err(error.into()),
    }
}

fn in_folder(repository: &Repository) -> Result<Exit, CliError> {
    walked(|from| Ok(repository.look_at_chains(from, STEPS)?))
}

fn asked(args: &VerifyArgs, config: &Config) -> Result<Exit, CliError> {
    let remote = Remote::new(config, args.url.as_deref(), args.token_file.as_ref())?;
    let fault = |e: serde_json::Error| {
        CliError::failed(format!(
            "E-AUDIT-2: the gateway's answer cannot be read: {e}; use the same release for both"
        ))
    };
    walked(|from| {
        let body = serde_json::to_vec(&from.unwrap_or_default()).map_err(fault)?;
        let answer = remote.ask(Method::POST, "/admin/audit", body)?;
        serde_json::from_slice(&answer).map_err(fault)
    })
}

/// Part by part to the end.
fn walked(
    part: impl Fn(Option<ChainsPlace>) -> Result<ChainsLooked, CliError>,
) -> Result<Exit, CliError> {
    let mut all = ChainsLooked::default();
    let mut from = None;
    loop {
        let mut looked = part(from)?;
        all.changes += looked.changes;
        all.audit_entries += looked.audit_entries;
        all.broken.append(&mut looked.broken);
        from = looked.next;
        if from.is_none() {
            break;
        }
    }
    lines(&all).iter().for_each(|line| say(line));
    Ok(match all.broken.is_empty() {
        true => Exit::Done,
        false => Exit::Findings,
    })
}

fn lines(all: &ChainsLooked) -> Vec<String> {
    let mut lines = vec![
        format!("{:<16} {:>10}", "changes", all.changes),
        format!("{:<16} {:>10}", "audit entries", all.audit_entries),
    ];
    for log in ["changes", "audit", "meta"] {
        let broken = || all.broken.iter().filter(|broken| broken.log == log);
        let Some(first) = broken().min_by_key(|broken| broken.number) else {
            continue;
        };
        let (number, text) = (first.number, &first.text);
        let time = first.time.as_deref().unwrap_or("unknown time");
        lines.push(format!("{log}: first broken at {number}, {time}: {text}"));
        let more = broken().count() - 1;
        if more > 0 {
            lines.push(format!("{log}: {more} more"));
        }
    }
    lines.push(match all.broken.len() {
        0 => "both logs are whole".to_owned(),
        count => format!("{count} findings"),
    });
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use gateway_repository::Broken;
    use insta::assert_snapshot;

    #[test]
    fn the_first_broken_entry_is_named() {
        let broken = |number: u64, time: Option<&str>| Broken {
            log: "audit".to_owned(),
            number,
            text: format!("the chain breaks at audit entry {number}"),
            time: time.map(str::to_owned),
        };
        let mut all = ChainsLooked {
            changes: 7,
            audit_entries: 9,
            ..ChainsLooked::default()
        };
        assert_snapshot!(lines(&all).join("\n"), @r"
        changes                   7
        audit entries             9
        both logs are whole
        ");
        all.broken = vec![broken(8, None), broken(5, Some("2026-03-01T10:00:00Z"))];
        assert_snapshot!(lines(&all).join("\n"), @r"
        changes                   7
        audit entries             9
        audit: first broken at 5, 2026-03-01T10:00:00Z: the chain breaks at audit entry 5
        audit: 1 more
        2 findings
        ");
    }
}
