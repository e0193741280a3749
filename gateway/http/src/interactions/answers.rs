//! Answers that carry a version: ETag, Last-Modified, Location (R4 3.1.0.4).

use crate::exchange::Answer;
use gateway_repository::Written;
use http::{HeaderName, HeaderValue, header};
use store::{ResourceKey, StoredVersion, VersionId};

/// A stored version as it is, byte for byte.
pub(super) fn stored(stored: StoredVersion) -> Answer {
    Answer {
        status: 200,
        headers: version_headers(stored.version, stored.time_ms),
        body: stored.body,
    }
}

/// What a create or update came to, with its Location.
pub(super) fn written(status: u16, written: Written, base_url: &str) -> Answer {
    let mut headers = version_headers(written.version, written.time_ms);
    let location = format!("{base_url}/{}", location(&written.key, written.version));
    push(&mut headers, header::LOCATION, &location);
    Answer {
        status,
        headers,
        body: written.body,
    }
}

/// A bare status with the version it is about, and that version's time.
pub(super) fn empty(status: u16, version: Option<(VersionId, i64)>) -> Answer {
    let headers = version.map(|(version, time_ms)| version_headers(version, time_ms));
    Answer {
        status,
        headers: headers.unwrap_or_default(),
        body: Vec::new(),
    }
}

/// 200 with a body that has no version.
pub(super) fn body(body: Vec<u8>) -> Answer {
    Answer {
        status: 200,
        headers: Vec::new(),
        body,
    }
}

/// `W/"3"`
pub(super) fn etag(version: VersionId) -> String {
    format!("W/\"{}\"", version.0)
}

/// `Patient/7/_history/3`
pub(super) fn location(key: &ResourceKey, version: VersionId) -> String {
    format!("{}/{}/_history/{}", key.resource_type, key.id, version.0)
}

fn version_headers(version: VersionId, time_ms: i64) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = Vec::with_capacity(3);
    push(&mut headers, header::ETAG, &etag(version));
    push(&mut headers, header::LAST_MODIFIED, &http_date(time_ms));
    headers
}

fn push(headers: &mut Vec<(HeaderName, HeaderValue)>, name: HeaderName, value: &str) {
    headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
}

/// `Tue, 24 Nov 2026 19:06:18 GMT` (RFC 9110 5.6.7).
pub(super) fn http_date(time_ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(time_ms).unwrap_or_default();
    jiff::fmt::rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&time)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_as_http_wants_them() {
        assert_eq!(
            http_date(1_795_547_178_123),
            "Tue, 24 Nov 2026 19:06:18 GMT"
        );
    }
}
