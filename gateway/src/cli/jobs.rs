//! `wayside jobs`: the exports and imports of everybody, while the gateway runs or not; and the end of
//! one that nobody will fetch.

use super::operate::GatewayArgs;
use super::remote::Remote;
use super::{CliError, Exit, PlaceArgs, say};
use crate::app::{self, StartError};
use crate::config::Config;
use clap::{Args, Subcommand};
use gateway_ground::clock::format_instant;
use gateway_http::admin::{JobRow, job_rows};
use gateway_repository::Repository;
use http::Method;
use store::StoreError;

#[derive(Args, Debug)]
pub(super) struct JobsArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    gateway: GatewayArgs,
    #[command(subcommand)]
    command: JobsCommand,
}

#[derive(Subcommand, Debug)]
enum JobsCommand {
    /// List them: id, kind, state, whose, since when
    List,
    /// End one and forget what it made
    Cancel {
        /// Its id, as `wayside jobs list` shows it
        id: String,
    },
}

pub(super) fn run(args: JobsArgs) -> Result<Exit, CliError> {
    let config = args.place.load()?;
    if args.gateway.url.is_some() {
        return there(&config, &args);
    }
    if !app::places(&config).has_store() {
        let folder = config.store.folder.display();
        let text = format!("E-CLI-26: there is no store in {folder}; give --data");
        return Err(CliError::failed(text));
    }
    match app::open_repository(&config) {
        Ok(repository) => {
            let store = repository.store().clone();
            let ended = here(repository, &args);
            store.close();
            ended
        }
        Err(StartError::Store(StoreError::Locked)) => there(&config, &args),
        Err(error) => Err(error.into()),
    }
}

fn here(repository: Repository, args: &JobsArgs) -> Result<Exit, CliError> {
    match &args.command {
        JobsCommand::List => tell(&job_rows(&repository)?),
        JobsCommand::Cancel { id } => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|e| CliError::failed(format!("E-CLI-27: no threads to run on: {e}")))?;
            runtime.block_on(repository.end_job(id))?;
            say("ended");
        }
    }
    Ok(Exit::Done)
}

/// Asks the gateway that holds the folder.
fn there(config: &Config, args: &JobsArgs) -> Result<Exit, CliError> {
    let gateway = &args.gateway;
    let remote = Remote::new(config, gateway.url.as_deref(), gateway.token_file.as_ref())?;
    match &args.command {
        JobsCommand::List => {
            let answer = remote.ask(Method::GET, "/admin/jobs", Vec::new())?;
            let rows: Vec<JobRow> = serde_json::from_slice(&answer).map_err(|e| {
                CliError::failed(format!(
                    "E-CLI-28: the gateway's answer cannot be read: {e}; use the same release for both"
                ))
            })?;
            tell(&rows);
        }
        JobsCommand::Cancel { id } => {
            let id: String = id
                .chars()
                .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
                .collect();
            remote.ask(Method::DELETE, &format!("/admin/jobs/{id}"), Vec::new())?;
            say("ended");
        }
    }
    Ok(Exit::Done)
}

fn tell(rows: &[JobRow]) {
    if rows.is_empty() {
        say("no exports or imports are kept");
    }
    for row in rows {
        let JobRow {
            id,
            kind,
            state,
            owner,
            created_ms,
        } = row;
        let created = format_instant(*created_ms);
        say(&format!(
            "{id}  {kind:<6}  {state:<12}  {owner:<20}  {created}"
        ));
    }
}
