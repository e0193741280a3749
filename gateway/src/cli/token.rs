//! `wayside token`: works on the data folder of a stopped gateway, and asks a running one over HTTP.

use super::remote::Remote;
use super::{CliError, Exit, PlaceArgs, say};
use crate::app::{self, StartError};
use crate::config::Config;
use clap::{Args, Subcommand};
use gateway_ground::clock::{Clock, format_instant};
use gateway_http::admin::{MadeToken, NewToken};
use gateway_http::tokens::{self, Role, Token};
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::path::PathBuf;
use store::{Store, StoreError};

#[derive(Args, Debug)]
pub(super) struct TokenArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Base URL of the running gateway, as its `ready` line shows it [default: where it
    /// left word that it answers]
    #[arg(long, value_name = "URL", global = true)]
    url: Option<String>,
    /// Administrator's token for a running gateway [default: the one made at the first start]
    #[arg(long, value_name = "FILE", global = true)]
    token_file: Option<PathBuf>,
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Subcommand, Debug)]
enum TokenCommand {
    /// Make a token and print it; it is not shown again
    Create(CreateArgs),
    /// List the tokens: name, role, made, expires
    List,
    /// Revoke a token; requests with it are refused from then on
    Revoke {
        /// Name that the token was made with
        name: String,
    },
}

#[derive(Args, Debug)]
struct CreateArgs {
    /// Whom the token is for; stands in the audit
    #[arg(long, value_name = "NAME")]
    name: String,
    /// What it may do
    #[arg(long, value_name = "ROLE", default_value = "client")]
    role: Role,
    /// Days until it expires; never, when absent
    #[arg(long, value_name = "DAYS")]
    expires: Option<u32>,
}

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

pub(super) fn run(args: TokenArgs) -> Result<Exit, CliError> {
    let config = args.place.load()?;
    let clock = Clock::system(0);
    let desk = Desk::open(&args, &config, &clock)?;
    match args.command {
        TokenCommand::Create(create) => {
            let expires_ms = create
                .expires
                .map(|days| clock.now_ms() + i64::from(days) * DAY_MS);
            let CreateArgs { name, role, .. } = create;
            say(&desk.create(NewToken {
                name,
                role,
                expires_ms,
            })?);
        }
        TokenCommand::List => desk.list()?.iter().for_each(|token| say(&line_of(token))),
        TokenCommand::Revoke { name } => desk.revoke(&name)?,
    }
    Ok(Exit::Done)
}

fn line_of(token: &Token) -> String {
    let expires = token.expires_ms.map_or("never".to_owned(), format_instant);
    let role = format!("{:?}", token.role).to_lowercase();
    let created = format_instant(token.created_ms);
    format!("{}\t{role}\t{created}\t{expires}", token.name)
}

/// Where tokens are changed: the folder itself, or the gateway that holds it.
enum Desk {
    Folder(Store, Clock),
    Running(Remote),
}

impl Desk {
    fn open(args: &TokenArgs, config: &Config, clock: &Clock) -> Result<Desk, CliError> {
        let remote = || Remote::new(config, args.url.as_deref(), args.token_file.as_ref());
        if args.url.is_some() {
            return Ok(Desk::Running(remote()?));
        }
        let makes = matches!(args.command, TokenCommand::Create(_));
        if !makes && !app::places(config).has_store() {
            let folder = config.store.folder.display();
            return Err(CliError::failed(format!(
                "E-CLI-8: there is no store in {folder}; give --data"
            )));
        }
        match app::open_store(config) {
            Ok(store) => Ok(Desk::Folder(store, clock.clone())),
            Err(StartError::Store(StoreError::Locked)) => Ok(Desk::Running(remote()?)),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives the secret.
    fn create(&self, new: NewToken) -> Result<String, CliError> {
        match self {
            Desk::Folder(store, clock) => {
                let secret = tokens::make_secret();
                let token = Token {
                    name: new.name,
                    role: new.role,
                    created_ms: clock.now_ms(),
                    expires_ms: new.expires_ms,
                };
                tokens::create(store, &secret, token)?;
                Ok(secret)
            }
            Desk::Running(remote) => {
                let body = serde_json::to_vec(&new).map_err(|e| unreadable(&e))?;
                let answer = remote.ask(Method::POST, "/admin/tokens", body)?;
                let made: MadeToken =
                    serde_json::from_slice(&answer).map_err(|e| unreadable(&e))?;
                Ok(made.token)
            }
        }
    }

    /// By name.
    fn list(&self) -> Result<Vec<Token>, CliError> {
        match self {
            Desk::Folder(store, _) => {
                let listed = tokens::list(&store.snapshot()?.view())?.into_iter();
                let mut tokens: Vec<Token> = listed.map(|(_, token)| token).collect();
                tokens.sort_by(|a, b| a.name.cmp(&b.name));
                Ok(tokens)
            }
            Desk::Running(remote) => {
                let answer = remote.ask(Method::GET, "/admin/tokens", Vec::new())?;
                serde_json::from_slice(&answer).map_err(|e| unreadable(&e))
            }
        }
    }

    fn revoke(&self, name: &str) -> Result<(), CliError> {
        match self {
            Desk::Folder(store, _) => Ok(tokens::revoke(store, name)?),
            Desk::Running(remote) => {
                let name = utf8_percent_encode(name, NON_ALPHANUMERIC);
                let path = format!("/admin/tokens/{name}");
                remote.ask(Method::DELETE, &path, Vec::new()).map(drop)
            }
        }
    }
}

fn unreadable(error: &serde_json::Error) -> CliError {
    CliError::failed(format!(
        "E-CLI-7: the gateway's answer cannot be read: {error}; use the same release for both"
    ))
}
