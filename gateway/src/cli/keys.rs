//! `wayside keys`: the ways into the store. Each change is one small file put in its place at once;
//! it needs no stop of a running gateway.

use super::remote::Remote;
use super::{CliError, Exit, PlaceArgs, say, tell};
use crate::app::{self, StartError};
use crate::config::Config;
use clap::{Args, Subcommand};
use gateway_ground::clock::{Clock, format_instant};
use gateway_ground::keys::{self, Places, share_text, sheet_text};
use http::Method;
use std::fs::File;
use std::io::{BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};
use store::StoreError;
use vault::slots::Sharing;
use vault::{Master, Secret, SlotKind, SlotView, Slots, recovery};
use zeroize::Zeroizing;

#[derive(Args, Debug)]
#[command(
    after_help = "Exit code 3: done, but something is to be looked at, as a store that only \
                        one key opens."
)]
pub(super) struct KeysArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Open the store with the recovery key or the shares in this file instead
    #[arg(long, value_name = "FILE", global = true)]
    recovery_file: Option<PathBuf>,
    /// Base URL of the running gateway, for `rotate` [default: where it left word that it answers]
    #[arg(long, value_name = "URL", global = true)]
    url: Option<String>,
    /// Administrator's token of the running gateway [default: the one made at the first start]
    #[arg(long, value_name = "FILE", global = true)]
    token_file: Option<PathBuf>,
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Subcommand, Debug)]
enum KeysCommand {
    /// List the ways into the store, and what is wrong with them
    #[command(visible_alias = "list")]
    Status,
    /// Let a passphrase open the store too
    AddPassphrase {
        /// Holds the new passphrase (mode 600) [default: it is typed]
        #[arg(long, value_name = "FILE")]
        new_passphrase_file: Option<PathBuf>,
    },
    /// Make another key file that opens the store, as on a stick
    AddKeyFile {
        /// Where it is made; never over another file
        file: PathBuf,
    },
    /// Make a new recovery key and print it as shares, some of which open the store
    Shares {
        /// How many shares are needed
        #[arg(long, value_name = "N")]
        needed: u8,
        /// How many are printed
        #[arg(long, value_name = "M")]
        of: u8,
    },
    /// Make a new recovery key and print its sheet
    Sheet,
    /// Make a new key file (or passphrase) with the recovery sheet or with shares
    Recover {
        /// Holds a new passphrase (mode 600); absent, a key file is made in its usual place
        #[arg(long, value_name = "FILE")]
        new_passphrase_file: Option<PathBuf>,
    },
    /// Put another master key in the place of the present one, while the gateway runs or not; all ways
    /// go on opening, copies of closed ones no longer
    Rotate,
    /// Close a way, by its number in `wayside keys status`
    Remove {
        /// Number of the way
        number: u32,
    },
}

/// A shorter passphrase is guessed, however slow each guess is.
const PASSPHRASE_LETTERS_MIN: usize = 12;

pub(super) fn run(args: KeysArgs) -> Result<Exit, CliError> {
    let config = args.place.load()?;
    let places = app::places(&config);
    if !places.has_store() {
        let folder = places.data.display();
        return Err(CliError::failed(format!(
            "E-CLI-9: there is no store in {folder}; give --data"
        )));
    }
    if matches!(args.command, KeysCommand::Status) {
        return status(&places);
    }
    if matches!(args.command, KeysCommand::Rotate) {
        return rotate(&config, &places, &args);
    }
    let mut bunch = Bunch::open(&config, places, &args)?;
    match args.command {
        KeysCommand::Status | KeysCommand::Rotate => {}
        KeysCommand::AddPassphrase {
            new_passphrase_file,
        } => bunch.add_passphrase(new_passphrase_file.as_deref())?,
        KeysCommand::AddKeyFile { file } => bunch.add_key_file(&file)?,
        KeysCommand::Shares { needed, of } => bunch.shares(Sharing { needed, of })?,
        KeysCommand::Sheet => bunch.sheet()?,
        KeysCommand::Recover {
            new_passphrase_file: Some(file),
        } => bunch.add_passphrase(Some(&file))?,
        KeysCommand::Recover { .. } => {
            let file = bunch.places.key_file();
            bunch.add_key_file(&file)?;
        }
        KeysCommand::Remove { number } => bunch.remove(number)?,
    }
    Ok(Exit::Done)
}

fn rotate(config: &Config, places: &Places, args: &KeysArgs) -> Result<Exit, CliError> {
    match app::open_store(config) {
        Ok(store) => {
            let rotated = keys::rotate(&places.data, &store);
            store.close();
            rotated?;
        }
        Err(StartError::Store(StoreError::Locked)) => {
            let remote = Remote::new(config, args.url.as_deref(), args.token_file.as_ref())?;
            remote.ask(Method::POST, "/admin/keys", Vec::new())?;
        }
        Err(error) => return Err(error.into()),
    }
    say("the master key was changed; all ways go on opening");
    Ok(Exit::Done)
}

/// What may be known without any key.
fn status(places: &Places) -> Result<Exit, CliError> {
    let Some(slots) = Slots::load(&places.data)? else {
        say("one way, of the first form: a key file or a passphrase");
        say("no recovery sheet: run `wayside keys sheet`");
        return Ok(Exit::Findings);
    };
    say(&format!("store {}", slots.store()));
    slots.ways().iter().for_each(|way| say(&line_of(way)));
    let warnings = warnings(places, &slots);
    warnings.iter().for_each(|line| say(line));
    Ok(if warnings.is_empty() {
        Exit::Done
    } else {
        Exit::Findings
    })
}

fn line_of(way: &SlotView) -> String {
    let shares = way.shares.map_or(String::new(), |sharing| {
        format!(", any {} of {} shares", sharing.needed, sharing.of)
    });
    let made = format_instant(way.made_ms);
    format!("{}\t{}{shares}\tmade {made}", way.number, way.kind.words())
}

fn warnings(places: &Places, slots: &Slots) -> Vec<String> {
    let mut lines = Vec::new();
    if !slots.has(SlotKind::Recovery) {
        lines.push("no recovery sheet: run `wayside keys sheet`".to_owned());
    }
    let sheet = places.sheet_file();
    if sheet.exists() {
        let sheet = sheet.display();
        lines.push(format!(
            "the recovery sheet lies beside the store: print {sheet}, then delete it"
        ));
    }
    lines
}

/// The ways of an opened store.
struct Bunch {
    /// Others change nothing meanwhile.
    _held: File,
    places: Places,
    slots: Slots,
    master: Master,
}

impl Bunch {
    fn open(config: &Config, places: Places, args: &KeysArgs) -> Result<Bunch, CliError> {
        let held = Slots::hold(&places.data)?;
        let recovers = matches!(args.command, KeysCommand::Recover { .. });
        let secret = match &args.recovery_file {
            Some(file) => Some(recovery_secret(keys::read_secret(file)?.lines())?),
            None if recovers => Some(typed_recovery()?),
            None => None,
        };
        let passphrase = app::passphrase(config)?;
        let is_asked = secret.is_none() && passphrase.is_none();
        let opened = match keys::ways(&places, secret, passphrase) {
            Err(keys::KeyError::PassphraseNeeded(_)) if is_asked && is_terminal() => {
                app::ask(|passphrase| keys::ways(&places, None, Some(passphrase)))?
            }
            other => other?,
        };
        let (slots, master) = opened;
        Ok(Bunch {
            _held: held,
            places,
            slots,
            master,
        })
    }

    fn add(&mut self, secret: &Secret, shares: Option<Sharing>) -> Result<u32, CliError> {
        let now_ms = Clock::system(0).now_ms();
        let added = self
            .slots
            .add(&self.master, (secret, shares), (keys::random, now_ms))?;
        self.slots.save(&self.places.data)?;
        Ok(added)
    }

    fn add_passphrase(&mut self, file: Option<&Path>) -> Result<(), CliError> {
        let passphrase = new_passphrase(file)?;
        if passphrase.chars().count() < PASSPHRASE_LETTERS_MIN {
            return Err(CliError::usage(format!(
                "E-CLI-10: a passphrase of fewer than {PASSPHRASE_LETTERS_MIN} letters is \
                 guessed; take six words"
            )));
        }
        let number = self.add(&Secret::Passphrase(passphrase), None)?;
        say(&format!("{number}\tpassphrase"));
        tell("The passphrase opens the store from now on.");
        Ok(())
    }

    fn add_key_file(&mut self, file: &Path) -> Result<(), CliError> {
        if file.exists() {
            let file = file.display();
            return Err(CliError::failed(format!(
                "E-CLI-11: {file} is there already; move it away, or name another file"
            )));
        }
        let key = keys::random_key();
        keys::write_key_file(file, &key)?;
        let number = self.add(&Secret::KeyFile(key), None)?;
        say(&format!("{number}\tkey file\t{}", file.display()));
        if file != self.places.key_file() {
            tell("To start with it: store.key_file in the configuration.");
        }
        Ok(())
    }

    fn sheet(&mut self) -> Result<(), CliError> {
        let key = keys::random_key();
        let now_ms = Clock::system(0).now_ms();
        let text = sheet_text(self.slots.store(), now_ms, &key);
        self.add(&Secret::Recovery(key), None)?;
        say(text.as_str());
        tell("Earlier sheets go on opening the store: `wayside keys remove` closes them.");
        Ok(())
    }

    fn shares(&mut self, sharing: Sharing) -> Result<(), CliError> {
        let key = keys::random_key();
        let shares = recovery::split(&key, sharing.needed, sharing.of)?;
        self.add(&Secret::Recovery(key), Some(sharing))?;
        for (at, share) in shares.iter().enumerate() {
            let which = (at + 1, sharing.needed, sharing.of);
            say(share_text(self.slots.store(), which, share).as_str());
        }
        tell("Earlier sheets go on opening the store: `wayside keys remove` closes them.");
        Ok(())
    }

    fn remove(&mut self, number: u32) -> Result<(), CliError> {
        let kind = self.slots.remove(number)?;
        self.slots.save(&self.places.data)?;
        say(&format!("{number}\t{} no longer opens", kind.words()));
        Ok(())
    }
}

fn is_terminal() -> bool {
    std::io::stdin().is_terminal()
}

fn new_passphrase(file: Option<&Path>) -> Result<Zeroizing<String>, CliError> {
    if let Some(file) = file {
        let text = keys::read_secret(file)?;
        return Ok(Zeroizing::new(
            text.trim_end_matches(['\r', '\n']).to_owned(),
        ));
    }
    let first = typed("New passphrase: ")?;
    let second = typed("The same again: ")?;
    if first != second {
        return Err(CliError::failed(
            "E-CLI-12: the two differ; nothing was changed, try again",
        ));
    }
    Ok(first)
}

fn typed(prompt: &str) -> Result<Zeroizing<String>, CliError> {
    let typed = rpassword::prompt_password(prompt).map_err(|e| {
        CliError::usage(format!(
            "E-CLI-13: nothing can be typed here: {e}; give a file instead"
        ))
    })?;
    Ok(Zeroizing::new(typed))
}

/// The recovery key, or shares until there are enough: one a line, from the keyboard or a pipe.
pub(super) fn typed_recovery() -> Result<Secret, CliError> {
    tell("The recovery key, or the shares one a line; an empty line ends:");
    let mut lines = Vec::new();
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|e| {
            CliError::failed(format!("E-CLI-14: the key cannot be read: {e}; try again"))
        })?;
        if line.trim().is_empty() {
            break;
        }
        let is_share = line.trim_start().starts_with(['S', 's']);
        lines.push(Zeroizing::new(line));
        if !is_share {
            break;
        }
    }
    recovery_secret(lines.iter().map(|line| line.as_str()))
}

/// Of all lines those that start as a key or a share do; a whole sheet may be given.
pub(super) fn recovery_secret<'a>(
    lines: impl Iterator<Item = &'a str>,
) -> Result<Secret, CliError> {
    let starts = |line: &&str, letter: &str| {
        let start: String = line.trim_start().chars().take(2).collect();
        start.eq_ignore_ascii_case(letter)
    };
    let lines: Vec<&str> = lines.collect();
    if let Some(key) = lines.iter().copied().find(|line| starts(line, "R-")) {
        return Ok(Secret::Recovery(recovery::key_of_text(key)?));
    }
    let shares = lines.iter().copied().filter(|line| starts(line, "S-"));
    let shares: Vec<Zeroizing<String>> = shares.map(|s| Zeroizing::new(s.to_owned())).collect();
    Ok(Secret::Recovery(recovery::join(&shares)?))
}
