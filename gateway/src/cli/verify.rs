//! `wayside verify`: opens what is stored and checks that it agrees with itself.

use super::remote::Remote;
use super::{CliError, Exit, PlaceArgs, say};
use crate::app::{self, StartError};
use crate::config::Config;
use clap::Args;
use gateway_ground::clock::format_instant;
use gateway_repository::{ScrubRound, ScrubState};
use http::Method;
use store::{LookOptions, Store, StoreError, VerifyReport};

#[derive(Args, Debug)]
#[command(
    after_help = "Exit code 3: something is damaged; wayside repair --from a backup puts it right."
)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Open the bodies of about this many resources, or this share of them, evenly spread, instead of
    /// all; everything else is opened all the same
    #[arg(long, value_name = "N|N%", value_parser = sample)]
    sample: Option<Sample>,
    /// Say what each database takes on the disk, too
    #[arg(long)]
    space: bool,
    /// Only tell what the scrub of the gateway found, running or not
    #[arg(long, conflicts_with_all = ["sample", "space"])]
    last: bool,
}

/// Findings that are shown.
const SHOWN_MAX: usize = 100;

/// How many bodies are opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sample {
    Resources(u64),
    Percent(u64),
}

fn sample(text: &str) -> Result<Sample, String> {
    let number = |text: &str| text.parse::<u64>().ok().filter(|number| *number > 0);
    let read = match text.strip_suffix('%') {
        Some(share) => number(share)
            .filter(|share| *share <= 100)
            .map(Sample::Percent),
        None => number(text).map(Sample::Resources),
    };
    read.ok_or_else(|| "give a number from 1 on, or a share as 10%".to_owned())
}

pub(super) fn run(args: VerifyArgs) -> Result<Exit, CliError> {
    let config = args.place.load()?;
    if !config.store.folder.exists() {
        let folder = config.store.folder.display();
        return Err(CliError::usage(format!(
            "E-VERIFY-1: there is no folder {folder}"
        )));
    }
    if args.last {
        return last(&config);
    }
    let store = app::open_store(&config)?;
    let report = verified(&store, args.sample);
    if args.space {
        for space in store.space()? {
            let (name, rows, bytes) = (space.database, space.rows, space.bytes);
            say(&format!(
                "space {name:<10} {bytes:>12} bytes {rows:>10} rows"
            ));
        }
    }
    store.close();
    let report = report?;
    lines(&report).iter().for_each(|line| say(line));
    Ok(if report.findings_total == 0 {
        Exit::Done
    } else {
        Exit::Findings
    })
}

/// What the scrub found, told by the folder or by the gateway that holds it.
fn last(config: &Config) -> Result<Exit, CliError> {
    let state = match app::open_repository(config) {
        Ok(repository) => {
            let state = repository.scrub_state();
            let store = repository.store().clone();
            drop(repository);
            store.close();
            state?
        }
        Err(StartError::Store(StoreError::Locked)) => {
            let remote = Remote::new(config, None, None)?;
            let answer = remote.ask(Method::GET, "/admin/scrub", Vec::new())?;
            serde_json::from_slice(&answer).map_err(|e| {
                CliError::failed(format!(
                    "E-VERIFY-2: the gateway's answer cannot be read: {e}; use the same release for both"
                ))
            })?
        }
        Err(error) => return Err(error.into()),
    };
    lines_of(&state).iter().for_each(|line| say(line));
    Ok(match state.open() {
        0 => Exit::Done,
        _ => Exit::Findings,
    })
}

fn lines_of(state: &ScrubState) -> Vec<String> {
    let mut lines = Vec::new();
    let mut tell = |when: String, round: &ScrubRound| {
        let (found, open) = (round.findings, round.open());
        lines.push(format!(
            "{when}: {} resources, {} versions, {} postings, {} changes, {} audit entries; {found} \
             findings, {open} not put right",
            round.resources, round.versions, round.postings, round.changes, round.audit_entries
        ));
        for one in &round.named {
            let name = one.resource.as_deref().unwrap_or("");
            let mended = if one.mended { "put right" } else { "damaged" };
            lines.push(format!("{name}\t{}: {}\t{mended}", one.database, one.text));
        }
    };
    if let Some(round) = &state.last {
        let ended = round.ended_ms.unwrap_or(round.started_ms);
        tell(
            format!("looked over until {}", format_instant(ended)),
            round,
        );
    }
    if let Some(round) = &state.under_way {
        let started = format_instant(round.started_ms);
        tell(
            format!("under way since {started}, {}%", state.percent),
            round,
        );
    }
    if lines.is_empty() {
        lines.push("nothing was looked over yet".to_owned());
    }
    lines
}

fn verified(store: &Store, sample: Option<Sample>) -> Result<VerifyReport, CliError> {
    let resources = store.stats()?.resources;
    let options = LookOptions {
        sample: sample.map(|sample| match sample {
            Sample::Resources(number) => number,
            Sample::Percent(share) => (resources.saturating_mul(share) / 100).max(1),
        }),
        terms_of: Some(gateway_repository::terms_of(store)),
        from: None,
    };
    let mut look = store.look(options)?;
    while !look.step()? {}
    Ok(look.into_report())
}

fn lines(report: &VerifyReport) -> Vec<String> {
    let counts = [
        ("resources", report.heads),
        ("versions opened", report.versions),
        ("search values", report.values),
        ("postings", report.postings),
        ("changes", report.changes),
        ("audit entries", report.audit_entries),
        ("rows", report.rows),
    ];
    let count = |(name, count): (&str, u64)| format!("{name:<16} {count:>10}");
    let mut lines: Vec<String> = counts.into_iter().map(count).collect();
    let finding = |finding: &store::Finding| format!("{}: {}", finding.database, finding.text);
    lines.extend(report.findings.iter().take(SHOWN_MAX).map(finding));
    let shown = report.findings.len().min(SHOWN_MAX);
    let shown = u64::try_from(shown).unwrap_or(u64::MAX);
    if report.findings_total > shown {
        lines.push(format!("{} more findings", report.findings_total - shown));
    }
    lines.push(match report.findings_total {
        0 => "sound".to_owned(),
        total => format!("{total} findings"),
    });
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;
    use store::Finding;

    #[test]
    fn samples() {
        assert_eq!(sample("10"), Ok(Sample::Resources(10)));
        assert_eq!(sample("10%"), Ok(Sample::Percent(10)));
        for wrong in ["0", "0%", "101%", "%", "-1", "ten"] {
            assert!(sample(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn reports() {
        let sound = VerifyReport {
            heads: 3,
            versions: 4,
            ..VerifyReport::default()
        };
        assert_snapshot!(lines(&sound).join("\n"), @r"
        resources                 3
        versions opened           4
        search values             0
        postings                  0
        changes                   0
        audit entries             0
        rows                      0
        sound
        ");
        let damaged = VerifyReport {
            findings_total: 102,
            findings: vec![Finding {
                database: "versions",
                text: "version 2 of resource 1 is missing".to_owned(),
                about: store::Damage::Shape,
            }],
            ..VerifyReport::default()
        };
        let text = lines(&damaged).split_off(7).join("\n");
        assert_snapshot!(text, @r"
        versions: version 2 of resource 1 is missing
        101 more findings
        102 findings
        ");
    }
}
