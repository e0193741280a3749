//! Sealing to somebody who is not there: HPKE in base mode (RFC 9180) with X25519, HKDF-SHA-256 and
//! AES-256-GCM. Whoever holds the 32 secret bytes opens; whoever holds the public key seals.

use crate::VaultError;
use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use zeroize::Zeroizing;

const INFO: &[u8] = b"wayside envelope 1";
/// Bytes of the sender's part before what is encrypted.
const SENDER_BYTES: usize = 32;

/// The public key that belongs to 32 secret bytes.
pub fn public_key(secret: &[u8; 32]) -> [u8; 32] {
    let (_private, public) = X25519HkdfSha256::derive_keypair(secret);
    public.to_bytes().into()
}

/// The sender's part (32), then the encrypted content, then its tag (16).
pub fn seal(public: &[u8; 32], associated: &[u8], content: &[u8]) -> Result<Vec<u8>, VaultError> {
    let fault = |e: hpke::HpkeError| VaultError::Envelope(e.to_string());
    let public = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(public).map_err(fault)?;
    let sealed = hpke::single_shot_seal::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
        &OpModeS::Base,
        &public,
        INFO,
        content,
        associated,
    );
    let (sender, mut encrypted) = sealed.map_err(fault)?;
    let mut out = sender.to_bytes().to_vec();
    out.append(&mut encrypted);
    Ok(out)
}

/// What was sealed; `None` when anything was changed or the secret is another one.
pub fn open(secret: &[u8; 32], associated: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (sender, encrypted) = sealed.split_at_checked(SENDER_BYTES)?;
    let (private, _public) = X25519HkdfSha256::derive_keypair(secret);
    let sender = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(sender).ok()?;
    let opened = hpke::single_shot_open::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        &private,
        &sender,
        INFO,
        encrypted,
        associated,
    );
    opened.ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_alone_opens_and_every_flip_is_noticed() {
        let sealed = seal(&public_key(&[1; 32]), b"place", b"content").unwrap();
        let opened = open(&[1; 32], b"place", &sealed).unwrap();
        assert_eq!(opened.as_slice(), b"content");
        assert!(open(&[2; 32], b"place", &sealed).is_none());
        assert!(open(&[1; 32], b"other", &sealed).is_none());
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert!(open(&[1; 32], b"place", &damaged).is_none(), "byte {at}");
            assert!(open(&[1; 32], b"place", &sealed[..at]).is_none());
        }
    }
}
