//! Seals what is stored: packed with zstd where that helps, then AES-256-GCM-SIV, bound to its
//! database and key, so that a flipped bit, and a value moved to another key, are both noticed.

use crate::StoreError;
use aes_gcm_siv::aead::AeadInOut;
use aes_gcm_siv::{Aes256GcmSiv, KeyInit, Nonce, Tag};
use std::cell::RefCell;
use std::fmt::Write;
use zstd::bulk::{Compressor, Decompressor};

/// First byte of every sealed value; another number is another layout.
const FORMAT: u8 = 1;
/// Second byte: AES-256-GCM-SIV. Others are for boards without AES instructions.
const CIPHER: u8 = 1;
/// Third and fourth: which data key; there is one so far.
const KEY_EPOCH: [u8; 2] = [0, 1];
/// Fifth and sixth: how the body is packed. 0 as it is, 1 zstd alone, above: zstd with that dictionary.
const PACKING_NONE: [u8; 2] = [0, 0];
const PACKING_ZSTD: [u8; 2] = [0, 1];

const HEADER_BYTES: usize = 6;
pub(crate) const NONCE_BYTES: usize = 12;
pub(crate) const TAG_BYTES: usize = 16;
/// Bytes that a seal adds to what it holds.
#[cfg(test)]
pub(crate) const SEAL_BYTES: usize = HEADER_BYTES + NONCE_BYTES + TAG_BYTES;

/// Shorter bodies do not shrink enough to pay for packing and unpacking.
const PACK_BYTES_MIN: usize = 192;
/// Measured on FHIR JSON of 1.5 kB: level 3 costs 1.4 x the time of level 1 for 3 % less.
const ZSTD_LEVEL: i32 = 1;
/// The largest body that is accepted, and ever unpacked.
pub(crate) const BODY_BYTES_MAX: usize = 128 << 20;

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

    /// Seals `clear` followed by `body`; only the body is packed.
    pub(crate) fn seal(
        &self,
        place: Place<'_>,
        nonce: [u8; NONCE_BYTES],
        clear: &[u8],
        body: &[u8],
    ) -> Result<Vec<u8>, StoreError> {
        PACKER.with_borrow_mut(|packer| {
            let packed = packer.pack(body);
            let packing = if packed.is_some() {
                PACKING_ZSTD
            } else {
                PACKING_NONE
            };
            let content = packed.unwrap_or(body);
            let header = [
                FORMAT,
                CIPHER,
                KEY_EPOCH[0],
                KEY_EPOCH[1],
                packing[0],
                packing[1],
            ];
            let front = HEADER_BYTES + NONCE_BYTES;
            let mut out = Vec::with_capacity(front + clear.len() + content.len() + TAG_BYTES);
            out.extend_from_slice(&header);
            out.extend_from_slice(&nonce);
            out.extend_from_slice(clear);
            out.extend_from_slice(content);
            let associated = place.associated(&header);
            let (_, secret) = out.split_at_mut(front);
            let tag = self.lock(&associated, nonce, secret)?;
            out.extend_from_slice(&tag);
            Ok(out)
        })
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
        let (header, rest) = sealed.split_first_chunk::<HEADER_BYTES>()?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_BYTES>()?;
        let (secret, tag) = rest.split_last_chunk::<TAG_BYTES>()?;
        let [
            format,
            cipher,
            epoch_high,
            epoch_low,
            packing_high,
            packing_low,
        ] = *header;
        if (format, cipher, [epoch_high, epoch_low]) != (FORMAT, CIPHER, KEY_EPOCH) {
            return None;
        }
        let mut content = secret.to_vec();
        self.unlock(&place.associated(header), *nonce, (&mut content, *tag))?;
        Some(Opened {
            content,
            packing: [packing_high, packing_low],
        })
    }
}

/// An opened value: a part in clear, then a body that may be packed.
pub(crate) struct Opened {
    pub(crate) content: Vec<u8>,
    packing: [u8; 2],
}

impl Opened {
    /// The body, which starts at `from`; `None` when it does not unpack.
    pub(crate) fn into_body(mut self, from: usize) -> Option<Vec<u8>> {
        match self.packing {
            PACKING_NONE if from == 0 => Some(self.content),
            PACKING_NONE => (from <= self.content.len()).then(|| self.content.split_off(from)),
            PACKING_ZSTD => {
                let packed = self.content.get(from..)?;
                UNPACKER.with_borrow_mut(|unpacker| {
                    if unpacker.is_none() {
                        *unpacker = Decompressor::new().ok();
                    }
                    unpacker.as_mut()?.decompress(packed, BODY_BYTES_MAX).ok()
                })
            }
            _ => None,
        }
    }
}

thread_local! {
    /// Making a context costs more than packing a body, so each thread keeps its own.
    static PACKER: RefCell<Packer> = const { RefCell::new(Packer { context: None, space: Vec::new() }) };
    static UNPACKER: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

struct Packer {
    context: Option<Compressor<'static>>,
    space: Vec<u8>,
}

/// The space kept between bodies; a rare larger one is given back.
const SPACE_BYTES_KEPT: usize = 1 << 20;

impl Packer {
    /// The packed body, or `None` when it is better stored as it is.
    fn pack(&mut self, body: &[u8]) -> Option<&[u8]> {
        if self.space.capacity() > SPACE_BYTES_KEPT {
            self.space = Vec::new();
        }
        if body.len() < PACK_BYTES_MIN {
            return None;
        }
        if self.context.is_none() {
            self.context = Compressor::new(ZSTD_LEVEL).ok();
        }
        self.space.clear();
        self.space
            .reserve(zstd::zstd_safe::compress_bound(body.len()));
        let length = self
            .context
            .as_mut()?
            .compress_to_buffer(body, &mut self.space)
            .ok()?;
        (length < body.len()).then_some(self.space.as_slice())
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

    fn opened(seal: &Seal, place: Place<'_>, sealed: &[u8]) -> Option<Vec<u8>> {
        seal.open(place, sealed).ok()?.into_body(2)
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
            let sealed = seal.seal(PLACE, [2; 12], b"ab", &body).unwrap();
            assert_eq!(opened(&seal, PLACE, &sealed), Some(body), "{length}");
            assert!(sealed.len() <= length + 2 + SEAL_BYTES);
            assert_eq!(sealed.len() < length, length >= 192, "{length}");
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let seal = Seal::new(&[1; 32]);
        let sealed = seal.seal(PLACE, [2; 12], b"ab", &[b'x'; 200]).unwrap();
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
        let sealed = seal.seal(PLACE, [2; 12], b"ab", b"body").unwrap();
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
