//! `wayside repair`: puts right what the disk damaged, from what is stored itself and from backups; or
//! gives up what a damaged write log lost, so that the rest can be opened.

use super::backup::{KeyArgs, open};
use super::restore::look_into;
use super::restore::point::chosen;
use super::{CliError, Exit, PlaceArgs, say};
use crate::app;
use crate::config::Config;
use clap::Args;
use gateway_repository::{Repository, terms_of};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use store::{Damage, Finding, LookOptions};
use vault::backup::{Folder, Listed, Opened};

#[derive(Args, Debug)]
#[command(
    after_help = "Stop the gateway first. With --from, everything stored is looked over; what is \
damaged is put right from what is stored, or taken from the newest backup that has it whole. No version \
is made, and nothing that opens is touched.

With --accept-log-damage the damaged files are kept beside the new ones, as log.0.damaged and \
log.1.damaged. Run wayside verify afterwards.

Exit code 3: writes were lost that had been acknowledged, or something is still damaged."
)]
pub(super) struct RepairArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    key: KeyArgs,
    /// Lose what the damaged log held and cannot be read any more
    #[arg(long, required_unless_present = "from", conflicts_with = "from")]
    accept_log_damage: bool,
    /// Folder that `wayside backup` wrote to
    #[arg(long, value_name = "FOLDER")]
    from: Option<PathBuf>,
    /// Only this resource [default: all that is damaged]
    #[arg(value_name = "Type/id", requires = "from")]
    resource: Option<String>,
}

pub(super) fn run(args: RepairArgs) -> Result<Exit, CliError> {
    let config = args.place.load()?;
    if !config.store.folder.exists() {
        let folder = config.store.folder.display();
        return Err(CliError::usage(format!(
            "E-REPAIR-1: there is no folder {folder}"
        )));
    }
    match &args.from {
        Some(from) => from_backups(&config, &args, from),
        None => accept(&config),
    }
}

fn accept(config: &Config) -> Result<Exit, CliError> {
    let lost = app::repair_store_log(config)?;
    say(&match lost {
        0 => "the log is whole; nothing was lost".to_owned(),
        lost => format!(
            "{lost} groups of writes are lost; the damaged files are kept as log.0.damaged and log.1.damaged"
        ),
    });
    Ok(if lost == 0 {
        Exit::Done
    } else {
        Exit::Findings
    })
}

fn from_backups(config: &Config, args: &RepairArgs, from: &Path) -> Result<Exit, CliError> {
    let shelf = Folder::new(from);
    let opened = open(&shelf, config, &args.key)?;
    let backups = chosen(&opened, None)?;
    let repository = app::open_repository(config)?;
    let store = repository.store().clone();
    let repair = Repair {
        config,
        opened: &opened,
        repository: &repository,
        resource: args.resource.as_deref(),
    };
    let repaired = repair.run(backups);
    drop(repository);
    store.close();
    repaired
}

struct Repair<'a> {
    config: &'a Config,
    opened: &'a Opened<'a>,
    repository: &'a Repository,
    resource: Option<&'a str>,
}

impl Repair<'_> {
    fn run(&self, backups: Vec<Listed>) -> Result<Exit, CliError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| CliError::failed(format!("E-REPAIR-2: no threads to run on: {e}")))?;
        let found = self.damaged()?;
        if found.is_empty() {
            say("nothing is damaged");
            return Ok(Exit::Done);
        }
        let mut left = Vec::new();
        for finding in found {
            if !runtime.block_on(self.repository.mend(finding.about))? {
                left.push(finding);
                continue;
            }
            self.told(&finding, "put right from what is stored");
        }
        // The newest backup first.
        let mut backups = VecDeque::from(backups);
        while let Some(one) = backups.pop_back().filter(|_| left.iter().any(is_kept)) {
            self.take_from(&runtime, &one, &mut left)?;
        }
        // What a version, an entry or a backup gave may tell what is still missing: heads, values.
        let again = self.damaged()?;
        for finding in &again {
            runtime.block_on(self.repository.mend(finding.about))?;
        }
        let still = self.damaged()?;
        for finding in &still {
            self.told(finding, "still damaged; restore a backup of the whole site");
        }
        Ok(match still.is_empty() {
            true => Exit::Done,
            false => Exit::Findings,
        })
    }

    fn told(&self, finding: &Finding, what: &str) {
        let name = self.repository.name_of_damaged(finding.about);
        let name = name.ok().flatten().unwrap_or_default();
        let Finding { database, text, .. } = finding;
        say(&format!("{name}\t{database}: {text}\t{what}"));
    }

    /// Everything that is damaged, versions before what is made of them.
    fn damaged(&self) -> Result<Vec<Finding>, CliError> {
        let mut look = self.repository.store().look(LookOptions {
            terms_of: Some(terms_of(self.repository.store())),
            ..LookOptions::default()
        })?;
        while !look.step()? {}
        let mut found = look.into_report().findings;
        if let Some(asked) = self.resource {
            let is_asked = |finding: &Finding| {
                let name = self.repository.name_of_damaged(finding.about);
                // A resource of which nothing tells its name any more may be the one.
                name.is_ok_and(|name| match name {
                    Some(name) => name == asked,
                    None => matches!(finding.about, Damage::Version(..) | Damage::Head(_)),
                })
            };
            found.retain(is_asked);
        }
        found.sort_by_key(|finding| match finding.about {
            Damage::Version(..) => 0,
            Damage::Change(_) | Damage::Audit(_) => 1,
            Damage::Head(_) => 2,
            _ => 3,
        });
        Ok(found)
    }

    /// Takes from one backup what it has whole.
    fn take_from(
        &self,
        runtime: &tokio::runtime::Runtime,
        one: &Listed,
        left: &mut Vec<Finding>,
    ) -> Result<(), CliError> {
        let damaged = std::mem::take(left);
        *left = look_into(self.config, (self.opened, one), |backup| {
            let mut still = Vec::new();
            for finding in damaged {
                let taken = self.repository.mend_from(backup, finding.about);
                if runtime.block_on(taken)? {
                    self.told(&finding, &format!("taken from {}", one.name));
                } else {
                    still.push(finding);
                }
            }
            Ok(still)
        })?;
        Ok(())
    }
}

/// Is it something that a backup is asked for?
fn is_kept(finding: &Finding) -> bool {
    matches!(
        finding.about,
        Damage::Version(..) | Damage::Change(_) | Damage::Audit(_)
    )
}
