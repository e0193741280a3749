//! `wayside token`: works on the data folder of a stopped gateway, and asks a running one over HTTP.

use super::{CliError, Exit, PlaceArgs, say};
use crate::app::{self, StartError};
use crate::clock::{Clock, format_instant};
use crate::config::Config;
use crate::http::tokens::{self, Role, Token};
use clap::{Args, Subcommand};
use store::{Store, StoreError};

#[derive(Args, Debug)]
pub(super) struct TokenArgs {
    #[command(flatten)]
    place: PlaceArgs,
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
    let desk = Desk::open(&config, &clock)?;
    match args.command {
        TokenCommand::Create(create) => {
            let expires_ms = create
                .expires
                .map(|days| clock.now_ms() + i64::from(days) * DAY_MS);
            say(&desk.create(&create.name, create.role, expires_ms)?);
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

/// Where tokens are changed.
struct Desk {
    store: Store,
    clock: Clock,
}

impl Desk {
    fn open(config: &Config, clock: &Clock) -> Result<Desk, CliError> {
        match app::open_store(config) {
            Ok(store) => Ok(Desk {
                store,
                clock: clock.clone(),
            }),
            Err(StartError::Store(StoreError::Locked)) => {
                Err(CliError::failed(StoreError::Locked.to_string()))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn create(&self, name: &str, role: Role, expires_ms: Option<i64>) -> Result<String, CliError> {
        let secret = tokens::make_secret();
        let token = Token {
            name: name.to_owned(),
            role,
            created_ms: self.clock.now_ms(),
            expires_ms,
        };
        tokens::create(&self.store, &secret, token)?;
        Ok(secret)
    }

    fn list(&self) -> Result<Vec<Token>, CliError> {
        let snapshot = self.store.snapshot()?;
        let mut tokens: Vec<Token> = tokens::list(&snapshot.view())?
            .into_iter()
            .map(|(_, token)| token)
            .collect();
        tokens.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(tokens)
    }

    fn revoke(&self, name: &str) -> Result<(), CliError> {
        Ok(tokens::revoke(&self.store, name)?)
    }
}
