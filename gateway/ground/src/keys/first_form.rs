//! Stores made before there were several ways in: the key file holds the master key itself, or a
//! passphrase gives it with the salt in the folder. They open as ever, until a way is added.

use super::{KeyError, Places, existing_key_file, random, read_key_file};
use crate::clock::Clock;
use std::path::PathBuf;
use vault::slots::Master;
use vault::{Secret, Slots, VaultError};
use zeroize::Zeroizing;

fn salt_file(places: &Places) -> PathBuf {
    places.data.join("passphrase.salt")
}

pub(super) fn has_salt(places: &Places) -> bool {
    salt_file(places).exists()
}

pub(super) fn obtain(
    places: &Places,
    passphrase: Option<Zeroizing<String>>,
) -> Result<Master, KeyError> {
    let data = places.data.display().to_string();
    let current = match (passphrase, has_salt(places)) {
        (None, true) => return Err(KeyError::PassphraseNeeded(data)),
        (Some(_), false) => return Err(KeyError::PassphraseUnwanted(data)),
        (None, false) => existing_key_file(places)?,
        (Some(passphrase), true) => stretched(places, &passphrase)?,
    };
    Ok(Master { current })
}

fn stretched(places: &Places, passphrase: &str) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let salt = read_key_file(&salt_file(places))?;
    let mut key = Zeroizing::new([0; 32]);
    argon2::Argon2::default()
        .hash_password_into(passphrase.as_bytes(), salt.as_slice(), key.as_mut_slice())
        .map_err(|e| VaultError::Derivation(e.to_string()))?;
    Ok(key)
}

/// The ways of such a store, with the one that it has: not saved yet.
pub(super) fn with_ways(
    places: &Places,
    master: &Master,
    passphrase: Option<Zeroizing<String>>,
) -> Result<Slots, KeyError> {
    let secret = match passphrase {
        Some(passphrase) => Secret::Passphrase(passphrase),
        None => Secret::KeyFile(existing_key_file(places)?),
    };
    let mut slots = Slots::new(random);
    let now_ms = Clock::system(0).now_ms();
    slots.add(master, (&secret, None), (random, now_ms))?;
    Ok(slots)
}
