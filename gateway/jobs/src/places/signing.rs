//! AWS Signature Version 4 of one request whose body is known. Pure.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// What AWS calls `UriEncode`: all but `A-Z a-z 0-9 - . _ ~`.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// In a path the slash stays.
const PATH: &AsciiSet = &QUERY.remove(b'/');

/// Who signs.
#[derive(Clone)]
pub(super) struct Credentials {
    pub(super) id: String,
    pub(super) secret: Zeroizing<String>,
}

/// What is signed; `headers` are lower case, sorted, and hold `host`.
pub(super) struct Signed<'a> {
    pub(super) method: &'a str,
    /// Encoded by [`path`].
    pub(super) path: &'a str,
    /// Encoded by [`query`].
    pub(super) query: &'a str,
    pub(super) headers: &'a [(&'a str, &'a str)],
    /// SHA-256 of the body, hexadecimal.
    pub(super) content: &'a str,
}

/// A path as it is signed and sent.
pub(super) fn path(text: &str) -> String {
    utf8_percent_encode(text, PATH).to_string()
}

/// Sorted pairs as they are signed and sent.
pub(super) fn query(pairs: &[(&str, &str)]) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, QUERY).to_string();
    let mut pairs: Vec<(String, String)> = pairs
        .iter()
        .map(|(name, value)| (encoded(name), encoded(value)))
        .collect();
    pairs.sort();
    let pairs: Vec<String> = pairs
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&")
}

pub(super) fn hash(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

/// The value of `Authorization`. `time` is `20130524T000000Z`.
pub(super) fn authorization(
    credentials: &Credentials,
    (region, time): (&str, &str),
    signed: &Signed<'_>,
) -> String {
    let day: String = time.chars().take(8).collect();
    let scope = format!("{day}/{region}/s3/aws4_request");
    let names: Vec<&str> = signed.headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let text = format!(
        "AWS4-HMAC-SHA256\n{time}\n{scope}\n{}",
        hash(canonical(signed, &names).as_bytes())
    );
    let secret = Zeroizing::new(format!("AWS4{}", credentials.secret.as_str()));
    let steps = [day.as_str(), region, "s3", "aws4_request", &text];
    let key = Zeroizing::new(secret.as_bytes().to_vec());
    let signature = steps
        .iter()
        .fold(key, |key, step| Zeroizing::new(mac(&key, step.as_bytes())));
    format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope},SignedHeaders={names},Signature={}",
        credentials.id,
        HEXLOWER.encode(&signature)
    )
}

fn canonical(signed: &Signed<'_>, names: &str) -> String {
    let headers: String = signed
        .headers
        .iter()
        .map(|(name, value)| format!("{name}:{}\n", value.trim()))
        .collect();
    let Signed {
        method,
        path,
        query,
        content,
        ..
    } = signed;
    format!("{method}\n{path}\n{query}\n{headers}\n{names}\n{content}")
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    // A key of any length will do for HMAC.
    let Ok(mut state) = Hmac::<Sha256>::new_from_slice(key) else {
        return Vec::new();
    };
    state.update(text);
    state.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials() -> Credentials {
        Credentials {
            id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret: Zeroizing::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned()),
        }
    }

    /// The worked examples of AWS's documentation.
    #[test]
    fn the_published_examples_come_out() {
        let nothing = hash(b"");
        let host = ("host", "examplebucket.s3.amazonaws.com");
        let sha = ("x-amz-content-sha256", nothing.as_str());
        let date = ("x-amz-date", "20130524T000000Z");
        type Case<'a> = (&'a str, String, &'a [(&'a str, &'a str)], &'a str);
        let cases: [Case<'_>; 2] = [
            (
                "/test.txt",
                String::new(),
                &[host, ("range", "bytes=0-9"), sha, date],
                "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
            ),
            (
                "/",
                query(&[("prefix", "J"), ("max-keys", "2")]),
                &[host, sha, date],
                "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            ),
        ];
        for (path, query, headers, expected) in cases {
            let signed = Signed {
                method: "GET",
                path,
                query: &query,
                headers,
                content: &nothing,
            };
            let value = authorization(&credentials(), ("us-east-1", date.1), &signed);
            assert!(value.ends_with(&format!("Signature={expected}")), "{value}");
            assert!(!value.contains("wJalr"));
        }
    }

    #[test]
    fn names_are_encoded_as_they_are_signed() {
        assert_eq!(path("/a b/ü/c-1.x"), "/a%20b/%C3%BC/c-1.x");
        assert_eq!(query(&[("b", "x/y"), ("a", "1+1")]), "a=1%2B1&b=x%2Fy");
    }
}
