//! The keys of a store: a random data key and a random index key, wrapped by the key-encryption
//! key; and the blinding of everything that names a person before it becomes a key on disk.

use crate::{ResourceKey, StoreError, Term};
use aes_gcm_siv::aead::AeadInOut;
use aes_gcm_siv::{Aes256GcmSiv, KeyInit, Nonce, Tag};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// Name of the row of `meta` with the wrapped keys.
pub(crate) const WRAPPED_KEYS: &str = "keys";
/// Name of the row of `meta` that tells a wrong key from a damaged row.
pub(crate) const KEY_CHECK: &str = "check";

const WRAPPING: u8 = 1;
const ASSOCIATED: &[u8] = b"wayside store keys 1";
const CHECK_TEXT: &[u8] = b"wayside key check 1";

/// Both keys in clear, for as long as opening takes.
pub(crate) struct StoreKeys {
    pub(crate) data_key: Zeroizing<[u8; 32]>,
    pub(crate) index_key: Zeroizing<[u8; 32]>,
}

impl StoreKeys {
    pub(crate) fn generate(random: fn(&mut [u8])) -> Self {
        let mut keys = Self {
            data_key: Zeroizing::new([0; 32]),
            index_key: Zeroizing::new([0; 32]),
        };
        random(keys.data_key.as_mut_slice());
        random(keys.index_key.as_mut_slice());
        keys
    }

    /// Both keys once more.
    pub(crate) fn again(&self) -> Self {
        Self {
            data_key: self.data_key.clone(),
            index_key: self.index_key.clone(),
        }
    }

    /// The data key, then the index key.
    pub(crate) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([*self.data_key, *self.index_key].concat())
    }

    /// The keys of [`Self::to_bytes`].
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (data_key, index_key) = bytes.split_at_checked(32)?;
        Some(Self {
            data_key: Zeroizing::new(data_key.try_into().ok()?),
            index_key: Zeroizing::new(index_key.try_into().ok()?),
        })
    }

    /// Byte 1, a nonce of 12, both keys encrypted (64), a tag of 16.
    pub(crate) fn wrap(
        &self,
        key_encryption_key: &[u8; 32],
        nonce: [u8; 12],
    ) -> Result<Vec<u8>, StoreError> {
        let mut secret = Zeroizing::new([0_u8; 64]);
        for (to, from) in secret
            .iter_mut()
            .zip(self.data_key.iter().chain(self.index_key.iter()))
        {
            *to = *from;
        }
        let tag = Aes256GcmSiv::new(key_encryption_key.into())
            .encrypt_inout_detached(
                &Nonce::from(nonce),
                ASSOCIATED,
                secret.as_mut_slice().into(),
            )
            .map_err(|e| StoreError::Invalid(format!("the keys cannot be wrapped: {e}")))?;
        let mut out = vec![WRAPPING];
        out.extend_from_slice(&nonce);
        out.extend_from_slice(secret.as_slice());
        out.extend_from_slice(&tag);
        Ok(out)
    }

    /// The keys of [`Self::wrap`]; `None` when the row is damaged or the key is another one.
    pub(crate) fn unwrap_with(wrapped: &[u8], key_encryption_key: &[u8; 32]) -> Option<Self> {
        let (first, rest) = wrapped.split_first()?;
        let (nonce, rest) = rest.split_first_chunk::<12>()?;
        let (secret, tag) = rest.split_last_chunk::<16>()?;
        let mut secret = Zeroizing::new(<[u8; 64]>::try_from(secret).ok()?);
        if *first != WRAPPING {
            return None;
        }
        Aes256GcmSiv::new(key_encryption_key.into())
            .decrypt_inout_detached(
                &Nonce::from(*nonce),
                ASSOCIATED,
                secret.as_mut_slice().into(),
                &Tag::from(*tag),
            )
            .ok()?;
        let (data_key, rest) = secret.split_first_chunk::<32>()?;
        let index_key = rest.first_chunk::<32>()?;
        Some(Self {
            data_key: Zeroizing::new(*data_key),
            index_key: Zeroizing::new(*index_key),
        })
    }
}

/// Sixteen bytes that only the right key-encryption key gives.
pub(crate) fn key_check(key_encryption_key: &[u8; 32]) -> [u8; 16] {
    Blinder::new(key_encryption_key).blind(&[CHECK_TEXT])
}

/// HMAC-SHA-256 under the index key of byte 4 and the label: a key for another use.
pub(crate) fn derived(index_key: &[u8; 32], label: &[u8]) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(Blinder::new(index_key).digest(&[&[4], label]))
}

/// HMAC-SHA-256 under the index key, cut to 16 bytes. The keyed state is made once and cloned.
#[derive(Clone)]
pub(crate) struct Blinder {
    keyed: Hmac<Sha256>,
}

impl Blinder {
    pub(crate) fn new(index_key: &[u8; 32]) -> Self {
        // HMAC fills a short key up with zeros to its block of 64 bytes (RFC 2104, section 2).
        let mut block = Zeroizing::new([0_u8; 64]);
        for (to, from) in block.iter_mut().zip(index_key) {
            *to = *from;
        }
        Self {
            keyed: Hmac::new((&*block).into()),
        }
    }

    /// First byte 1, so that a term never meets a key.
    pub(crate) fn term(&self, term: &Term) -> [u8; 16] {
        self.blind(&[&[1], &term.0])
    }

    /// First byte 2; a zero byte, which FHIR types never hold, ends the type.
    pub(crate) fn key(&self, key: &ResourceKey) -> [u8; 16] {
        self.blind(&[&[2], key.resource_type.as_bytes(), &[0], key.id.as_bytes()])
    }

    /// First byte 3.
    pub(crate) fn row(&self, key: &[u8]) -> [u8; 16] {
        self.blind(&[&[3], key])
    }

    /// First byte 4.
    pub(crate) fn ends(&self, row: &[u8]) -> [u8; 16] {
        self.blind(&[&[4], row])
    }

    fn digest(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut state = self.keyed.clone();
        for part in parts {
            state.update(part);
        }
        state.finalize().into_bytes().into()
    }

    fn blind(&self, parts: &[&[u8]]) -> [u8; 16] {
        let digest = self.digest(parts);
        let [
            b0,
            b1,
            b2,
            b3,
            b4,
            b5,
            b6,
            b7,
            b8,
            b9,
            b10,
            b11,
            b12,
            b13,
            b14,
            b15,
            ..,
        ] = digest;
        [
            b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, b12, b13, b14, b15,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_unwrap_with_their_key_alone() {
        let keys = StoreKeys::generate(|buffer| buffer.fill(9));
        let wrapped = keys.wrap(&[5; 32], [4; 12]).unwrap();
        let back = StoreKeys::unwrap_with(&wrapped, &[5; 32]).unwrap();
        assert_eq!((*back.data_key, *back.index_key), ([9; 32], [9; 32]));
        assert!(StoreKeys::unwrap_with(&wrapped, &[6; 32]).is_none());
        for at in 0..wrapped.len() {
            let mut damaged = wrapped.clone();
            damaged[at] ^= 0x10;
            assert!(
                StoreKeys::unwrap_with(&damaged, &[5; 32]).is_none(),
                "byte {at}"
            );
        }
        assert_ne!(key_check(&[5; 32]), key_check(&[6; 32]));
    }

    /// Test case 2 of RFC 4231, cut to 16 bytes: the key "Jefe".
    #[test]
    fn blinding_is_hmac_sha_256() {
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let digest = Blinder::new(&key).blind(&[b"what do ya want ", b"for nothing?"]);
        let expected = [
            0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e, 0x6a, 0x04, 0x24, 0x26, 0x08, 0x95,
            0x75, 0xc7,
        ];
        assert_eq!(digest, expected);
    }

    #[test]
    fn keys_and_terms_never_meet() {
        let blinder = Blinder::new(&[1; 32]);
        let key = |resource_type: &str, id: &str| {
            blinder.key(&ResourceKey {
                resource_type: resource_type.into(),
                id: id.into(),
            })
        };
        assert_ne!(key("Patient", "1"), key("Patien", "t1"));
        assert_eq!(key("Patient", "1"), key("Patient", "1"));
        assert_ne!(
            key("Patient", "1"),
            blinder.term(&Term(b"Patient\x001".to_vec()))
        );
    }
}
