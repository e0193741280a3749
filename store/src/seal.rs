//! Seals what is stored: packed where that helps, then AES-256-GCM-SIV, bound to its database and
//! key, so that a flipped bit, and a value moved to another key, are both noticed.

use crate::StoreError;
use crate::packing::{self, Known};
use aes_gcm_siv::aead::AeadInOut;
use aes_gcm_siv::{Aes256GcmSiv, KeyInit, Nonce, Tag};
use std::fmt::Write;

/// First byte of a sealed value: a short front, and AES-256-GCM-SIV. Another number is another layout,
/// or another cipher for boards without AES instructions.
const SHORT: u8 = 2;
/// The same of formats 1 and 2: cipher, epoch and packing behind it, and a nonce of 12 bytes.
const LONG: u8 = 1;
const LONG_CIPHER: u8 = 1;
/// Second and third: which data key; there is one so far.
const KEY_EPOCH: [u8; 2] = [0, 1];

const FRONT_BYTES: usize = 4;
const LONG_FRONT_BYTES: usize = 6;
/// What a nonce has beside the zeros behind it.
const SHORT_NONCE_BYTES: usize = 4;
pub(crate) const NONCE_BYTES: usize = 12;
pub(crate) const TAG_BYTES: usize = 16;
/// Bytes that a seal adds to what it holds.
#[cfg(test)]
pub(crate) const SEAL_BYTES: usize = FRONT_BYTES + SHORT_NONCE_BYTES + TAG_BYTES;

/// Where a value lives: authenticated with it.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) database: &'static str,
    pub(crate) key: &'a [u8],
}

impl Place<'_> {
    /// The answer for a value that fails its seal. Keys hold numbers and digests only.
    pub(crate) fn damaged(&self) -> StoreError {
        let mut key = String::with_capacity(self.key.len() * 2);
        for byte in self.key {
            // Writing to a String cannot fail.
            write!(key, "{byte:02x}").unwrap_or_default();
        }
        StoreError::Corrupt {
            database: self.database,
            key,
        }
    }

    fn associated(&self, header: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.database.len() + 1 + self.key.len() + header.len());
        out.extend_from_slice(self.database.as_bytes());
        out.push(0);
        out.extend_from_slice(self.key);
        out.extend_from_slice(header);
        out
    }
}

/// The data key, ready to use.
pub(crate) struct Seal {
    cipher: Aes256GcmSiv,
}

impl Seal {
    pub(crate) fn new(data_key: &[u8; 32]) -> Self {
        Self {
            cipher: Aes256GcmSiv::new(data_key.into()),
        }
    }

    /// Seals a value; of the nonce the first four bytes count.
    pub(crate) fn seal(
        &self,
        place: Place<'_>,
        nonce: [u8; NONCE_BYTES],
        value: &Value<'_>,
    ) -> Result<Vec<u8>, StoreError> {
        let mut out = Vec::with_capacity(64 + value.clear.len() + value.body.len() / 2);
        let [high, low] = KEY_EPOCH;
        // The fourth says how the body is packed.
        out.extend_from_slice(&[SHORT, high, low, 0]);
        let nonce = short_nonce(nonce);
        out.extend(nonce.iter().take(SHORT_NONCE_BYTES));
        let secret_from = out.len();
        out.extend_from_slice(value.clear);
        let form = packing::pack(place.database, (value.body, &value.known), &mut out);
        if let Some(byte) = out.get_mut(FRONT_BYTES - 1) {
            *byte = form;
        }
        let (before, secret) = out.split_at_mut(secret_from);
        let associated = place.associated(before.get(..FRONT_BYTES).unwrap_or_default());
        let tag = self.lock(&associated, nonce, secret)?;
        out.extend_from_slice(&tag);
        Ok(out)
    }

    /// Encrypts `content` in place, bound to what is beside it in clear; answers the tag.
    pub(crate) fn lock(
        &self,
        associated: &[u8],
        nonce: [u8; NONCE_BYTES],
        content: &mut [u8],
    ) -> Result<[u8; TAG_BYTES], StoreError> {
        self.cipher
            .encrypt_inout_detached(&Nonce::from(nonce), associated, content.into())
            .map(Into::into)
            .map_err(|e| StoreError::Invalid(format!("a value is too long to seal: {e}")))
    }

    /// Decrypts in place what [`Self::lock`] encrypted; `None` when anything was changed.
    pub(crate) fn unlock(
        &self,
        associated: &[u8],
        nonce: [u8; NONCE_BYTES],
        (content, tag): (&mut [u8], [u8; TAG_BYTES]),
    ) -> Option<()> {
        self.cipher
            .decrypt_inout_detached(
                &Nonce::from(nonce),
                associated,
                content.into(),
                &Tag::from(tag),
            )
            .ok()
    }

    /// Opens and checks a sealed value.
    pub(crate) fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Opened, StoreError> {
        self.opened(place, sealed).ok_or_else(|| place.damaged())
    }

    fn opened(&self, place: Place<'_>, sealed: &[u8]) -> Option<Opened> {
        let front = Front::read(sealed)?;
        let (header, rest) = sealed.split_at_checked(front.bytes)?;
        let (nonce, rest) = match front.is_short {
            true => {
                let (nonce, rest) = rest.split_first_chunk::<SHORT_NONCE_BYTES>()?;
                (filled(nonce), rest)
            }
            false => {
                let (nonce, rest) = rest.split_first_chunk::<NONCE_BYTES>()?;
                (*nonce, rest)
            }
        };
        let (secret, tag) = rest.split_last_chunk::<TAG_BYTES>()?;
        let mut content = secret.to_vec();
        self.unlock(&place.associated(header), nonce, (&mut content, *tag))?;
        Some(Opened {
            content,
            form: front.form,
            is_short: front.is_short,
        })
    }
}

/// A value to be sealed: a part that stays as it is, then a body that may be packed.
#[derive(Clone, Copy, Default)]
pub(crate) struct Value<'a> {
    pub(crate) clear: &'a [u8],
    pub(crate) body: &'a [u8],
    pub(crate) known: Known<'a>,
}

impl<'a> Value<'a> {
    pub(crate) fn clear(clear: &'a [u8]) -> Value<'a> {
        Value {
            clear,
            ..Value::default()
        }
    }

    pub(crate) fn body(body: &'a [u8]) -> Value<'a> {
        Value {
            body,
            ..Value::default()
        }
    }
}

fn short_nonce(nonce: [u8; NONCE_BYTES]) -> [u8; NONCE_BYTES] {
    nonce.first_chunk().map_or(nonce, filled)
}

fn filled(nonce: &[u8; SHORT_NONCE_BYTES]) -> [u8; NONCE_BYTES] {
    let mut filled = [0; NONCE_BYTES];
    for (to, from) in filled.iter_mut().zip(nonce) {
        *to = *from;
    }
    filled
}

/// What stands before the nonce.
struct Front {
    is_short: bool,
    form: u8,
    bytes: usize,
}

impl Front {
    fn read(sealed: &[u8]) -> Option<Front> {
        if sealed.first() == Some(&LONG) {
            let [_, cipher, high, low, zero, form, ..] = *sealed else {
                return None;
            };
            let known = (cipher, [high, low], zero) == (LONG_CIPHER, KEY_EPOCH, 0);
            return known.then_some(Front {
                is_short: false,
                form,
                bytes: LONG_FRONT_BYTES,
            });
        }
        let [SHORT, high, low, form, ..] = *sealed else {
            return None;
        };
        ([high, low] == KEY_EPOCH).then_some(Front {
            is_short: true,
            form,
            bytes: FRONT_BYTES,
        })
    }
}

/// An opened value: a part in clear, then a body that may be packed.
pub(crate) struct Opened {
    pub(crate) content: Vec<u8>,
    form: u8,
    /// Is its clear part of the shape that format 3 brought?
    pub(crate) is_short: bool,
}

impl Opened {
    /// The body, which starts at `from`; `None` when it does not unpack.
    pub(crate) fn into_body(mut self, from: usize, known: &Known<'_>) -> Option<Vec<u8>> {
        match self.form {
            packing::AS_IS if from == 0 => Some(self.content),
            packing::AS_IS => (from <= self.content.len()).then(|| self.content.split_off(from)),
            form => packing::unpack(form, self.content.get(from..)?, known),
        }
    }
}

/// Hands out nonces from a buffer of random bytes: asking the system for each would cost more than sealing.
pub(crate) struct Nonces {
    random: fn(&mut [u8]),
    pool: Vec<[u8; NONCE_BYTES]>,
}

impl Nonces {
    pub(crate) fn new(random: fn(&mut [u8])) -> Self {
        Self {
            random,
            pool: Vec::new(),
        }
    }

    pub(crate) fn next(&mut self) -> [u8; NONCE_BYTES] {
        if let Some(nonce) = self.pool.pop() {
            return nonce;
        }
        let mut bytes = [0; NONCE_BYTES * 128];
        (self.random)(&mut bytes);
        let (chunks, _) = bytes.as_chunks::<NONCE_BYTES>();
        self.pool.extend_from_slice(chunks);
        self.pool.pop().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place<'_> = Place {
        database: "versions",
        key: b"key",
    };

    fn sealed(seal: &Seal, body: &[u8]) -> Vec<u8> {
        let value = Value {
            clear: b"ab",
            body,
            ..Value::default()
        };
        seal.seal(PLACE, [2; 12], &value).unwrap()
    }

    fn opened(seal: &Seal, place: Place<'_>, sealed: &[u8]) -> Option<Vec<u8>> {
        seal.open(place, sealed)
            .ok()?
            .into_body(2, &Known::default())
    }

    #[test]
    fn bodies_come_back_and_long_ones_shrink() {
        let seal = Seal::new(&[1; 32]);
        for length in [0, 1, 191, 192, 193, 1500, 1 << 20] {
            let body: Vec<u8> = b"{\"status\":\"final\"},"
                .iter()
                .copied()
                .cycle()
                .take(length)
                .collect();
            let sealed = sealed(&seal, &body);
            assert_eq!(opened(&seal, PLACE, &sealed), Some(body), "{length}");
            assert!(sealed.len() <= length + 2 + SEAL_BYTES);
            assert!(length < 192 || sealed.len() < length, "{length}");
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let seal = Seal::new(&[1; 32]);
        let sealed = sealed(&seal, &[b'x'; 200]);
        for bit in 0..sealed.len() * 8 {
            let mut damaged = sealed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(opened(&seal, PLACE, &damaged), None, "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert_eq!(
                opened(&seal, PLACE, &sealed[..length]),
                None,
                "cut to {length}"
            );
        }
    }

    #[test]
    fn a_value_opens_only_in_its_place_and_with_its_key() {
        let seal = Seal::new(&[1; 32]);
        let sealed = sealed(&seal, b"body");
        assert!(opened(&seal, PLACE, &sealed).is_some());
        let moved = Place {
            database: "versions",
            key: b"other",
        };
        assert_eq!(opened(&seal, moved, &sealed), None);
        let moved = Place {
            database: "values",
            key: b"key",
        };
        assert_eq!(opened(&seal, moved, &sealed), None);
        assert_eq!(opened(&Seal::new(&[3; 32]), PLACE, &sealed), None);
    }

    #[test]
    fn damage_names_the_place_in_hex() {
        let error = Place {
            database: "heads",
            key: &[0, 0x1f],
        }
        .damaged();
        assert_eq!(
            error.to_string(),
            "E-STORE-3: a value in heads is damaged (key 001f); restore it from a backup"
        );
    }

    #[test]
    fn nonces_do_not_repeat() {
        let mut nonces = Nonces::new(|buffer| {
            static NEXT: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);
            let base = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            for (at, byte) in buffer.iter_mut().enumerate() {
                *byte = u8::try_from(at / 12).unwrap() ^ (base << 7);
            }
        });
        let given: std::collections::HashSet<_> = (0..256).map(|_| nonces.next()).collect();
        assert_eq!(given.len(), 256);
    }
}
