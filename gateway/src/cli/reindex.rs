//! `wayside reindex`: has the search index made anew, by a running gateway or in the folder of a
//! stopped one, and shows how far it is.

use super::remote::Remote;
use super::{CliError, Exit, PlaceArgs, say};
use crate::app::{self, StartError};
use crate::config::Config;
use clap::Args;
use gateway_http::admin::IndexProgress;
use gateway_repository::Repository;
use http::Method;
use std::path::PathBuf;
use std::time::Duration;
use store::StoreError;

#[derive(Args, Debug)]
#[command(
    after_help = "A gateway reindexes by itself when its release or its zone needs it: this is for an \
                  index that somebody doubts. Searching and writing go on meanwhile."
)]
pub(super) struct ReindexArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Only show how far the index is
    #[arg(long)]
    status: bool,
    /// Base URL of the running gateway, as its `ready` line shows it [default: where it
    /// left word that it answers]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Administrator's token for a running gateway [default: the one made at the first start]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Between two looks at a running gateway.
const LOOK_PAUSE: Duration = Duration::from_millis(500);
/// Batches between two lines, in a folder.
const LINE_BATCHES: usize = 100;

pub(super) fn run(args: ReindexArgs) -> Result<Exit, CliError> {
    let config = args.place.load()?;
    if args.url.is_some() {
        return asked(&args, &config);
    }
    if !app::places(&config).has_store() {
        let folder = config.store.folder.display();
        return Err(CliError::failed(format!(
            "E-REINDEX-1: there is no store in {folder}; give --data"
        )));
    }
    match app::open_repository(&config) {
        Ok(repository) => {
            let store = repository.store().clone();
            let ended = in_folder(&args, &repository);
            drop(repository);
            store.close();
            ended
        }
        Err(StartError::Store(StoreError::Locked)) => asked(&args, &config),
        Err(error) => Err(error.into()),
    }
}

fn in_folder(args: &ReindexArgs, repository: &Repository) -> Result<Exit, CliError> {
    if args.status {
        say(&line(&state_of(repository)?));
        return Ok(Exit::Done);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| CliError::failed(format!("E-REINDEX-2: no threads to run on: {e}")))?;
    runtime.block_on(async {
        repository.doubt_index().await?;
        for number in 1_usize.. {
            if repository.reindex_batch().await? {
                break;
            }
            if number.is_multiple_of(LINE_BATCHES) {
                say(&line(&state_of(repository)?));
            }
        }
        say(&line(&state_of(repository)?));
        Ok(Exit::Done)
    })
}

fn state_of(repository: &Repository) -> Result<IndexProgress, CliError> {
    let state = repository.index_state()?;
    Ok(IndexProgress {
        is_whole: state.is_whole,
        looked_at: state.looked_at,
        of: state.of,
    })
}

/// Asks the gateway that holds the folder, and looks on until it is through.
fn asked(args: &ReindexArgs, config: &Config) -> Result<Exit, CliError> {
    let remote = Remote::new(config, args.url.as_deref(), args.token_file.as_ref())?;
    let ask = |method: Method| {
        let answer = remote.ask(method, "/admin/reindex", Vec::new())?;
        serde_json::from_slice::<IndexProgress>(&answer).map_err(|e| {
            CliError::failed(format!(
                "E-REINDEX-3: the gateway's answer cannot be read: {e}; use the same release for both"
            ))
        })
    };
    if args.status {
        say(&line(&ask(Method::GET)?));
        return Ok(Exit::Done);
    }
    let mut progress = ask(Method::POST)?;
    say(&line(&progress));
    while !progress.is_whole {
        std::thread::sleep(LOOK_PAUSE);
        let next = ask(Method::GET)?;
        if next.looked_at != progress.looked_at || next.is_whole {
            say(&line(&next));
        }
        progress = next;
    }
    Ok(Exit::Done)
}

fn line(progress: &IndexProgress) -> String {
    let IndexProgress { looked_at, of, .. } = progress;
    match progress.is_whole {
        true => format!("the search index is whole: {of} resources"),
        false => format!("reindexed {looked_at} of {of} resources; searching goes on meanwhile"),
    }
}
