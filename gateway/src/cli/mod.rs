//! The command line: one file a subcommand. Answers go to stdout, everything else to stderr.

mod audit;
mod backup;
mod conflicts;
mod export;
mod import;
mod jobs;
mod keys;
mod operate;
mod purge;
mod reindex;
mod remote;
mod repair;
mod restore;
mod serve;
mod token;
mod verify;

use crate::app::StartError;
use crate::config::{Config, ConfigError};
use clap::{Args, Parser, Subcommand};
use gateway_ground::failure::Failure;
use gateway_ground::keys::{KeyError, guard_memory};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use store::StoreError;
use vault::VaultError;

/// Offline-first FHIR R4 gateway: takes what clients and devices send, keeps every version, and
/// exchanges changes with remote systems whenever the link is up.
///
/// Without a subcommand it serves, as `wayside serve` does.
#[derive(Parser, Debug)]
#[command(name = "wayside", version, args_conflicts_with_subcommands = true)]
#[command(after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::ServeArgs,
}

const EXIT_CODES: &str = "Exit codes:
  0  done as asked
  1  could not be done; stderr says why and what to do
  2  wrong arguments or configuration
  3  done, with findings: inputs rejected, damage found, or no conflict to list

Environment:
  WAYSIDE_PASSPHRASE  opens the store with a passphrase instead of the key file";

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the gateway until SIGTERM or SIGINT.
    Serve(serve::ServeArgs),
    /// Make, list and revoke the bearer tokens of clients.
    Token(token::TokenArgs),
    /// List, show and decide the conflicts that wait for a person.
    Conflicts(conflicts::ConflictsArgs),
    /// Bring in Bundles, NDJSON and single resources from files.
    Import(import::ImportArgs),
    /// Write out the newest version of every resource as NDJSON.
    Export(export::ExportArgs),
    /// List the exports and imports that clients asked for, and end one.
    Jobs(jobs::JobsArgs),
    /// The ways into the store: key file, passphrase, recovery sheet and shares.
    Keys(keys::KeysArgs),
    /// Take, list and check backups of the whole store, while the gateway runs or not.
    Backup(backup::BackupArgs),
    /// Bring back a whole site, a patient or a resource from a backup.
    Restore(restore::RestoreArgs),
    /// Take a patient's record away for good, or show what that would take.
    Purge(purge::PurgeArgs),
    /// Make the search index anew, or show how far it is.
    Reindex(reindex::ReindexArgs),
    /// Walk the change log and the audit, and name the first broken entry.
    Audit(audit::AuditArgs),
    /// Open all that is stored and check that it agrees.
    Verify(verify::VerifyArgs),
    /// Give up what a damaged write log lost, so that the rest can be opened.
    Repair(repair::RepairArgs),
}

/// Arguments of every subcommand that works on a data folder.
#[derive(Args, Clone, Debug, Default)]
pub struct PlaceArgs {
    /// Folder of the store; its key is kept beside it [default: wayside-data]
    #[arg(long, value_name = "DIR", global = true)]
    pub data: Option<PathBuf>,
    /// Settings; examples/wayside.toml documents every key
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Holds the passphrase of the store (mode 600)
    #[arg(long, value_name = "FILE", global = true)]
    pub passphrase_file: Option<PathBuf>,
}

impl PlaceArgs {
    /// The configuration with the arguments over it.
    pub fn load(&self) -> Result<Config, CliError> {
        let mut config = Config::load(self.config.as_deref())?;
        if let Some(data) = &self.data {
            config.store.folder.clone_from(data);
        }
        if self.passphrase_file.is_some() {
            config
                .store
                .passphrase_file
                .clone_from(&self.passphrase_file);
        }
        Ok(config)
    }
}

/// How a subcommand ended when it did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Done,
    /// Done, but there is something to look at: exit code 3.
    Findings,
}

/// Why a subcommand failed: one line with number, cause and next step.
#[derive(Debug)]
pub struct CliError {
    pub text: String,
    /// Wrong arguments or configuration: exit code 2.
    pub is_usage: bool,
}

impl CliError {
    pub fn failed(text: impl Into<String>) -> CliError {
        CliError {
            text: text.into(),
            is_usage: false,
        }
    }

    pub fn usage(text: impl Into<String>) -> CliError {
        CliError {
            text: text.into(),
            is_usage: true,
        }
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> CliError {
        CliError::usage(error.to_string())
    }
}

impl From<StartError> for CliError {
    fn from(error: StartError) -> CliError {
        match error {
            StartError::Config(error) => error.into(),
            StartError::OpenToOthers(_) => CliError::usage(error.to_string()),
            other => CliError::failed(other.to_string()),
        }
    }
}

impl From<KeyError> for CliError {
    fn from(error: KeyError) -> CliError {
        CliError::failed(error.to_string())
    }
}

impl From<VaultError> for CliError {
    fn from(error: VaultError) -> CliError {
        CliError::failed(error.to_string())
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> CliError {
        CliError::failed(error.to_string())
    }
}

impl From<Failure> for CliError {
    fn from(failure: Failure) -> CliError {
        CliError::failed(StartError::from(failure).to_string())
    }
}

/// Parses the arguments and runs the subcommand; the exit code is 0 when it did what was asked.
pub fn run() -> ExitCode {
    guard_memory();
    let cli = Cli::parse();
    let ended = match cli.command {
        None => serve::run(cli.serve),
        Some(Command::Serve(args)) => serve::run(args),
        Some(Command::Token(args)) => token::run(args),
        Some(Command::Conflicts(args)) => conflicts::run(args),
        Some(Command::Import(args)) => import::run(args),
        Some(Command::Export(args)) => export::run(args),
        Some(Command::Jobs(args)) => jobs::run(args),
        Some(Command::Keys(args)) => keys::run(args),
        Some(Command::Backup(args)) => backup::run(args),
        Some(Command::Restore(args)) => restore::run(args),
        Some(Command::Purge(args)) => purge::run(args),
        Some(Command::Reindex(args)) => reindex::run(args),
        Some(Command::Audit(args)) => audit::run(args),
        Some(Command::Verify(args)) => verify::run(args),
        Some(Command::Repair(args)) => repair::run(args),
    };
    match ended {
        Ok(Exit::Done) => ExitCode::SUCCESS,
        Ok(Exit::Findings) => ExitCode::from(3),
        Err(error) => {
            tell(&format!("wayside: {}", error.text));
            ExitCode::from(if error.is_usage { 2 } else { 1 })
        }
    }
}

/// One line on stdout, out at once; a closed pipe is the reader's choice.
pub fn say(line: &str) {
    let mut stdout = std::io::stdout().lock();
    let _reader_has_gone = writeln!(stdout, "{line}")
        .and_then(|()| stdout.flush())
        .is_err();
}

/// One line on stderr.
pub fn tell(line: &str) {
    let _reader_has_gone = writeln!(std::io::stderr().lock(), "{line}").is_err();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_sound() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[track_caller]
    fn check(line: &str, expected: bool) {
        let arguments = line.split_whitespace();
        assert_eq!(Cli::try_parse_from(arguments).is_ok(), expected, "{line}");
    }

    #[test]
    fn what_is_and_is_not_a_command_line() {
        check("wayside", true);
        check("wayside --open --listen 127.0.0.1:0", true);
        check("wayside serve --data d --mllp 127.0.0.1:0 --log json", true);
        check("wayside serve --listen localhost", false);
        check("wayside serve --tls-cert a", false);
        check("wayside --open token list", false);
        check(
            "wayside token create --name a --role reader --expires 7",
            true,
        );
        check("wayside token create", false);
        check("wayside token revoke a", true);
        check("wayside conflicts list --url http://127.0.0.1:1", true);
        check("wayside conflicts show review-1 --all", true);
        check(
            "wayside conflicts decide r --take local --rationale why",
            true,
        );
        check(
            "wayside conflicts decide r --pick A.b=local --pick A.c=incoming --rationale w",
            true,
        );
        check(
            "wayside conflicts decide r --take local --pick A.b=local --rationale w",
            false,
        );
        check(
            "wayside conflicts decide r --pick A.b=both --rationale w",
            false,
        );
        check("wayside conflicts decide r --rationale why", false);
        check("wayside conflicts decide r --take local", false);
        check("wayside fly", false);
        check("wayside import --again --json a.json dir", true);
        check("wayside import", false);
        check(
            "wayside import a.json --to http://127.0.0.1:8080/fhir",
            true,
        );
        check("wayside import a.json --token-file t", false);
        check("wayside export --type Patient --type Task --out d", true);
        check("wayside export --type Patience", false);
        check("wayside verify --sample 100", true);
        check("wayside verify --sample 10%", true);
        check("wayside verify --sample 0", false);
        check("wayside repair --accept-log-damage", true);
        check("wayside repair", false);
        check("wayside repair --from /media/stick", true);
        check("wayside repair --from /media/stick Patient/1", true);
        check("wayside repair Patient/1", false);
        check("wayside repair --from s --accept-log-damage", false);
        check("wayside verify --last", true);
        check("wayside verify --last --sample 10", false);
        check("wayside audit verify", true);
        check("wayside audit", false);
        check("wayside backup", true);
        check("wayside backup /media/stick", true);
        check("wayside backup list /media/stick", true);
        check("wayside backup verify /media/stick --at 7", true);
        check("wayside backup verify", true);
        check(
            "wayside restore /media/stick --data d --at 7 --replace",
            true,
        );
        check("wayside restore s --resource Patient/1", true);
        check("wayside restore s --patient 1 --replace", false);
        check("wayside restore s --patient 1 --resource Patient/1", false);
        check("wayside restore", true);
        check("wayside keys", false);
        check("wayside keys status", true);
        check("wayside keys add-key-file /media/stick/key", true);
        check("wayside keys shares --needed 2 --of 3", true);
        check("wayside keys shares --needed 2", false);
        check("wayside keys recover --recovery-file sheet", true);
        check("wayside keys rotate", true);
        check("wayside keys remove 2", true);
        check("wayside keys remove two", false);
        check("wayside reindex --status --url http://127.0.0.1:1", true);
        check("wayside reindex Patient", false);
        check("wayside jobs list", true);
        check("wayside jobs cancel 7 --url http://127.0.0.1:1", false);
        check("wayside jobs --url http://127.0.0.1:1 cancel 7", true);
        check("wayside jobs cancel", false);
        check("wayside purge Patient/17", true);
        check(
            "wayside purge 17 --confirm --reason asked --certificate c",
            true,
        );
        check("wayside purge 17 --confirm", false);
        check("wayside purge 17 --certificate c", false);
        check("wayside purge", false);
    }
}
