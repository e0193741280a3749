//! Chunks: runs of rows cut where a row's key says so, so that a change moves no other cut. A chunk
//! is named by the digest of its rows, packed with zstd where that helps, and sealed.

use crate::VaultError;
use aes_gcm_siv::aead::AeadInOut;
use aes_gcm_siv::{Aes256GcmSiv, KeyInit, Nonce, Tag};
use sha2::{Digest, Sha256};

const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
/// A chunk comes to about this; that of a database whose rows change all over is smaller, for one
/// changed row writes its whole chunk anew.
const CHUNK_BYTES: u64 = 64 << 10;
const CHUNK_BYTES_POSTINGS: u64 = 16 << 10;
const POSTINGS: u8 = 5;
/// No cut before this, and always one behind that.
const CHUNK_BYTES_MIN: usize = 4 << 10;
const CHUNK_BYTES_MAX: usize = 1 << 20;
/// The largest chunk that is ever unpacked: one row may be as long as a body.
const UNPACKED_BYTES_MAX: usize = 160 << 20;
const ZSTD_LEVEL: i32 = 1;

pub(super) type ChunkId = [u8; 32];

/// Gathers rows into chunks.
#[derive(Default)]
pub(super) struct Cutter {
    rows: Vec<u8>,
}

impl Cutter {
    /// Adds a row; answers the chunk when it is complete.
    pub(super) fn add(&mut self, (number, key, value): store::RawRow<'_>) -> Option<Vec<u8>> {
        self.rows.push(number);
        for part in [key, value] {
            let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
            self.rows.extend_from_slice(&length.to_be_bytes());
            self.rows.extend_from_slice(part);
        }
        let bytes = u64::try_from(key.len() + value.len()).unwrap_or(u64::MAX);
        let aim = if number == POSTINGS {
            CHUNK_BYTES_POSTINGS
        } else {
            CHUNK_BYTES
        };
        let is_cut = mixed(key) % aim < bytes && self.rows.len() >= CHUNK_BYTES_MIN;
        (is_cut || self.rows.len() >= CHUNK_BYTES_MAX).then(|| std::mem::take(&mut self.rows))
    }

    /// The rows behind the last cut.
    pub(super) fn rest(self) -> Option<Vec<u8>> {
        (!self.rows.is_empty()).then_some(self.rows)
    }
}

/// Spreads a key over all numbers; nothing hangs on its strength.
fn mixed(key: &[u8]) -> u64 {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for byte in key {
        state = (state ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3);
    }
    state ^= state >> 31;
    state = state.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    state ^ (state >> 29)
}

/// The rows of a chunk; `None` when the bytes are no rows.
pub(super) fn rows_of(chunk: &[u8]) -> Option<Vec<store::RawRow<'_>>> {
    let mut rows = Vec::new();
    let mut rest = chunk;
    while let Some((number, after)) = rest.split_first() {
        let (key, after) = part_of(after)?;
        let (value, after) = part_of(after)?;
        rows.push((*number, key, value));
        rest = after;
    }
    Some(rows)
}

fn part_of(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

pub(super) fn id_of(chunk: &[u8]) -> ChunkId {
    Sha256::digest(chunk).into()
}

/// Seals under the key of the backups.
pub(super) struct Sealer {
    cipher: Aes256GcmSiv,
    random: fn(&mut [u8]),
}

impl Sealer {
    pub(super) fn new(key: &[u8; 32], random: fn(&mut [u8])) -> Sealer {
        Sealer {
            cipher: Aes256GcmSiv::new(key.into()),
            random,
        }
    }

    /// A nonce, the packed content, its tag; bound to what it is called.
    pub(super) fn seal(&self, called: &[u8], content: &[u8]) -> Result<Vec<u8>, VaultError> {
        let mut nonce = [0; NONCE_BYTES];
        (self.random)(&mut nonce);
        let mut out = nonce.to_vec();
        match zstd::bulk::compress(content, ZSTD_LEVEL) {
            Ok(packed) if packed.len() < content.len() => {
                out.push(1);
                out.extend_from_slice(&packed);
            }
            _ => {
                out.push(0);
                out.extend_from_slice(content);
            }
        }
        let (_, secret) = out.split_at_mut(NONCE_BYTES);
        let sealed = self
            .cipher
            .encrypt_inout_detached(&Nonce::from(nonce), called, secret.into());
        let tag = sealed.map_err(|e| VaultError::Envelope(e.to_string()))?;
        out.extend_from_slice(&tag);
        Ok(out)
    }

    /// What was sealed under this name; `None` when anything was changed.
    pub(super) fn open(&self, called: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let (secret, tag) = rest.split_last_chunk::<TAG_BYTES>()?;
        let mut content = secret.to_vec();
        self.cipher
            .decrypt_inout_detached(
                &Nonce::from(*nonce),
                called,
                content.as_mut_slice().into(),
                &Tag::from(*tag),
            )
            .ok()?;
        match content.split_first()? {
            (0, plain) => Some(plain.to_vec()),
            (1, packed) => zstd::bulk::Decompressor::new()
                .ok()?
                .decompress(packed, unpacked_bytes(packed)?)
                .ok(),
            _ => None,
        }
    }
}

/// What the frame says it unpacks to, within bounds.
fn unpacked_bytes(packed: &[u8]) -> Option<usize> {
    let said = zstd::zstd_safe::get_frame_content_size(packed).ok()??;
    let said = usize::try_from(said).ok()?;
    (said <= UNPACKED_BYTES_MAX).then_some(said)
}
