//! The recovery key and its shares as people write them down: groups of letters and digits without
//! I, L, O and U, with a check that catches a slip of the pen.

use crate::VaultError;
use data_encoding::{Encoding, Specification};
use sha2::{Digest, Sha256};
use std::sync::OnceLock;
use zeroize::Zeroizing;

const KEY_LETTER: u8 = b'R';
const SHARE_LETTER: u8 = b'S';
const CHECK_BYTES: usize = 3;
const GROUP: usize = 5;
/// More shares than this nobody hands out.
pub const SHARES_MAX: u8 = 16;

/// `R-` and groups of five characters.
pub fn key_text(secret: &[u8; 32]) -> Zeroizing<String> {
    written(KEY_LETTER, secret)
}

/// The secret that `key_text` wrote; spaces, case and dashes do not matter, `O` is `0`, `I` and `L` are `1`.
pub fn key_of_text(text: &str) -> Result<Zeroizing<[u8; 32]>, VaultError> {
    let bytes = read(KEY_LETTER, text)?;
    let secret = <[u8; 32]>::try_from(bytes.as_slice());
    secret
        .map(Zeroizing::new)
        .map_err(|_length| slip("a recovery key"))
}

/// Splits a secret into `of` shares, any `needed` of which give it back. Fewer tell nothing.
pub fn split(secret: &[u8; 32], needed: u8, of: u8) -> Result<Vec<Zeroizing<String>>, VaultError> {
    if needed < 2 || of < needed || of > SHARES_MAX {
        return Err(VaultError::Text(format!(
            "shares must be at least 2 of 2 and at most {SHARES_MAX}, as `--needed 2 --of 3`"
        )));
    }
    let dealer = blahaj::Sharks(needed);
    let shares = dealer.dealer(secret).take(usize::from(of));
    let text = |share: blahaj::Share| {
        let bytes = Zeroizing::new(Vec::from(&share));
        let mut content = Zeroizing::new(vec![needed]);
        content.extend_from_slice(&bytes);
        written(SHARE_LETTER, &content)
    };
    Ok(shares.map(text).collect())
}

/// How many shares are needed, as each of them says.
pub fn needed_of(share: &str) -> Result<u8, VaultError> {
    let bytes = read(SHARE_LETTER, share)?;
    bytes.first().copied().ok_or_else(|| slip("a share"))
}

/// The secret of enough shares.
pub fn join(shares: &[Zeroizing<String>]) -> Result<Zeroizing<[u8; 32]>, VaultError> {
    if shares.is_empty() {
        return Err(VaultError::Text(
            "no recovery key and no share was given; type one, or give --recovery-file".to_owned(),
        ));
    }
    let mut needed = 0;
    let mut parts = Vec::new();
    for text in shares {
        let bytes = read(SHARE_LETTER, text)?;
        let (first, rest) = bytes.split_first().ok_or_else(|| slip("a share"))?;
        if needed != 0 && needed != *first {
            return Err(VaultError::Text(
                "these shares do not belong together; take all from one printing".to_owned(),
            ));
        }
        needed = *first;
        let share = blahaj::Share::try_from(rest).map_err(|_why| slip("a share"))?;
        parts.push(share);
    }
    let sharks = blahaj::Sharks(needed.max(2));
    let secret = sharks.recover(parts.as_slice());
    let secret = Zeroizing::new(secret.map_err(|_why| {
        VaultError::Text(format!(
            "{needed} different shares are needed, {} were given; gather more",
            shares.len()
        ))
    })?);
    let secret = <[u8; 32]>::try_from(secret.as_slice());
    secret
        .map(Zeroizing::new)
        .map_err(|_length| slip("a share"))
}

fn written(letter: u8, content: &[u8]) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new(content.to_vec());
    bytes.extend_from_slice(&check(letter, content));
    let digits = Zeroizing::new(alphabet().encode(&bytes));
    let mut text = Zeroizing::new(String::with_capacity(digits.len() * 2));
    text.push(char::from(letter));
    for (at, digit) in digits.chars().enumerate() {
        if at % GROUP == 0 {
            text.push('-');
        }
        text.push(digit);
    }
    text
}

fn read(letter: u8, text: &str) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let what = if letter == KEY_LETTER {
        "a recovery key"
    } else {
        "a share"
    };
    let digits = text
        .trim()
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '-');
    let digits: Zeroizing<String> = Zeroizing::new(digits.collect());
    let first = digits.chars().next().map(|c| c.to_ascii_uppercase());
    if first != Some(char::from(letter)) {
        return Err(slip(what));
    }
    let rest: Zeroizing<String> = Zeroizing::new(digits.chars().skip(1).collect());
    let bytes = alphabet().decode(rest.as_bytes());
    let bytes = Zeroizing::new(bytes.map_err(|_why| slip(what))?);
    let (content, end) = bytes
        .split_last_chunk::<CHECK_BYTES>()
        .ok_or_else(|| slip(what))?;
    if check(letter, content) != *end {
        return Err(slip(what));
    }
    Ok(Zeroizing::new(content.to_vec()))
}

fn slip(what: &str) -> VaultError {
    VaultError::Text(format!(
        "this is not {what} as it was printed; compare it letter by letter"
    ))
}

fn check(letter: u8, content: &[u8]) -> [u8; CHECK_BYTES] {
    let mut digest = Sha256::new();
    digest.update(b"wayside recovery 1");
    digest.update([letter]);
    digest.update(content);
    let [a, b, c, ..] = <[u8; 32]>::from(digest.finalize());
    [a, b, c]
}

/// Crockford's base 32.
fn alphabet() -> &'static Encoding {
    static ALPHABET: OnceLock<Encoding> = OnceLock::new();
    ALPHABET.get_or_init(|| {
        let mut specification = Specification::new();
        specification
            .symbols
            .push_str("0123456789ABCDEFGHJKMNPQRSTVWXYZ");
        specification
            .translate
            .from
            .push_str("abcdefghjkmnpqrstvwxyzoOiIlL");
        specification
            .translate
            .to
            .push_str("ABCDEFGHJKMNPQRSTVWXYZ001111");
        // The specification above is a constant; a test shows that it is sound.
        specification
            .encoding()
            .unwrap_or(data_encoding::BASE32_NOPAD)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_however_it_is_typed() {
        let secret = [0x5a; 32];
        let text = key_text(&secret);
        insta::assert_snapshot!(text.as_str(), @"R-B9D5M-PJTB9-D5MPJ-TB9D5-MPJTB-9D5MP-JTB9D-5MPJT-B9D5M-PJTB9-DDRFB-S");
        let typed = text.replace('-', " ").to_lowercase().replace('0', "o");
        assert_eq!(*key_of_text(&typed).unwrap(), secret);
    }

    #[test]
    fn every_single_slip_is_noticed() {
        let text = key_text(&[0x17; 32]);
        for at in 0..text.len() {
            for letter in ['0', '7', 'Z', 'Q', '!'] {
                let mut letters: Vec<char> = text.chars().collect();
                if letters[at] == letter || letters[at] == '-' {
                    continue;
                }
                letters[at] = letter;
                let slipped: String = letters.into_iter().collect();
                assert!(key_of_text(&slipped).is_err(), "{slipped}");
            }
        }
        assert!(key_of_text("").is_err());
        assert!(key_of_text("R").is_err());
    }

    #[test]
    fn enough_shares_give_the_secret_and_fewer_do_not() {
        let secret = [9; 32];
        let shares = split(&secret, 2, 3).unwrap();
        assert_eq!(needed_of(&shares[0]).unwrap(), 2);
        for (a, b) in [(0, 1), (1, 2), (2, 0)] {
            let two = [shares[a].clone(), shares[b].clone()];
            assert_eq!(*join(&two).unwrap(), secret);
        }
        assert!(join(&shares[..1]).is_err());
        assert!(join(&[shares[0].clone(), shares[0].clone()]).is_err());
        assert!(join(&[]).is_err());
        let others = split(&[8; 32], 2, 3).unwrap();
        let mixed = join(&[shares[0].clone(), others[1].clone()]);
        assert!(mixed.is_err() || *mixed.unwrap() != secret);
        assert!(split(&secret, 1, 3).is_err());
        assert!(split(&secret, 4, 3).is_err());
        assert!(key_of_text(&shares[0]).is_err());
    }
}
