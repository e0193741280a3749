//! `wayside repair`: gives up what a damaged write log lost, so that the rest can be opened.

use super::{CliError, Exit, PlaceArgs, say};
use crate::app;
use clap::Args;

#[derive(Args, Debug)]
#[command(
    after_help = "Stop the gateway first. The damaged files are kept beside the new ones, as \
log.0.damaged and log.1.damaged. Run wayside verify afterwards.

Exit code 3: writes were lost that had been acknowledged."
)]
pub(super) struct RepairArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Lose what the damaged log held and cannot be read any more
    #[arg(long, required = true)]
    accept_log_damage: bool,
}

pub(super) fn run(args: RepairArgs) -> Result<Exit, CliError> {
    let config = args.place.load()?;
    if !args.accept_log_damage || !config.store.folder.exists() {
        let folder = config.store.folder.display();
        return Err(CliError::usage(format!(
            "E-REPAIR-1: there is no folder {folder}"
        )));
    }
    let lost = app::repair_store_log(&config)?;
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
