//! Answers on the wire: content type, `_pretty`, `Prefer: return`, compression.

use super::exchange::Answer;
use super::route::{Interaction, Unrouted};
use crate::failure::{Category, Failure, outcome};
use bytes::Bytes;
use fhir_mapping::model::{self, Issue, IssueCode, Json, Limits, Severity};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use std::io::Write as _;

/// What goes back to hyper.
pub type Reply = Response<Full<Bytes>>;

/// Type of every FHIR answer.
pub const FHIR_JSON: &str = "application/fhir+json; charset=utf-8";

/// Smaller bodies are sent as they are.
const GZIP_BYTES_MIN: usize = 1024;

/// How the client wants its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Form {
    pub is_pretty: bool,
    pub accepts_gzip: bool,
    pub preference: Option<Return>,
}

/// `Prefer: return` (R4 3.1.0.1.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Return {
    Minimal,
    Representation,
    OperationOutcome,
}

impl Form {
    /// Reads `_pretty`, `_format`, `Accept`, `Accept-Encoding` and `Prefer`; 406 when the client
    /// wants something other than JSON of FHIR R4.
    pub fn negotiate(headers: &HeaderMap, query: &[(String, String)]) -> Result<Form, Failure> {
        let last = |name: &str| query.iter().rev().find(|(n, _)| n == name);
        match last("_format") {
            Some((_, format)) => check_format(format)?,
            None => check_accept(headers)?,
        }
        Ok(Form {
            is_pretty: last("_pretty").is_some_and(|(_, value)| value == "true"),
            accepts_gzip: accepts_gzip(headers),
            preference: preference(headers),
        })
    }
}

/// The answer of an interaction.
pub fn reply(answer: Answer, interaction: &Interaction, form: Form) -> Reply {
    let answer = prefer(answer, interaction, form.preference);
    finish(answer, form)
}

/// A refusal as OperationOutcome.
pub fn refusal(failure: &Failure, form: Form) -> Reply {
    let mut headers = Vec::new();
    if let Some(seconds) = failure.retry_after_s {
        headers.push((header::RETRY_AFTER, HeaderValue::from(seconds)));
    }
    if failure.category == Category::Unauthenticated {
        let scheme = HeaderValue::from_static("Bearer realm=\"wayside\"");
        headers.push((header::WWW_AUTHENTICATE, scheme));
    }
    let body = model::format(&failure.outcome()).into();
    let status = failure.category.status();
    finish(
        Answer {
            status,
            headers,
            body,
        },
        form,
    )
}

/// A path or method that leads nowhere.
pub fn unrouted(unrouted: &Unrouted, form: Form) -> Reply {
    let mut reply = refusal(&unrouted.failure, form);
    if let Some(allow) = unrouted.allow {
        let allow = HeaderValue::from_static(allow);
        reply.headers_mut().insert(header::ALLOW, allow);
    }
    reply
}

/// Text that is no FHIR: health and metrics.
pub fn plain(status: u16, content_type: &'static str, text: String) -> Reply {
    let content_type = HeaderValue::from_static(content_type);
    let answer = Answer {
        status,
        headers: vec![(header::CONTENT_TYPE, content_type)],
        body: text.into_bytes(),
    };
    finish(answer, Form::default())
}

/// An answer that brings its own headers: the administration's pages.
pub fn page(answer: Answer, accepts_gzip: bool) -> Reply {
    let form = Form {
        accepts_gzip,
        ..Form::default()
    };
    finish(answer, form)
}

fn finish(answer: Answer, form: Form) -> Reply {
    let mut body = answer.body;
    if form.is_pretty
        && let Ok(json) = model::parse(&body, Limits::default())
    {
        body = model::format_pretty(&json).into();
    }
    let mut reply = Response::new(Full::new(Bytes::new()));
    *reply.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = reply.headers_mut();
    headers.extend(answer.headers);
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    if !headers.contains_key(header::CACHE_CONTROL) {
        let private = HeaderValue::from_static("private, no-cache");
        headers.insert(header::CACHE_CONTROL, private);
    }
    if body.is_empty() {
        return reply;
    }
    if !headers.contains_key(header::CONTENT_TYPE) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(FHIR_JSON));
    }
    if body.len() >= GZIP_BYTES_MIN {
        let vary = HeaderValue::from_static("Accept-Encoding");
        headers.insert(header::VARY, vary);
        if form.accepts_gzip
            && let Some(packed) = gzip(&body)
        {
            let encoding = HeaderValue::from_static("gzip");
            headers.insert(header::CONTENT_ENCODING, encoding);
            body = packed;
        }
    }
    *reply.body_mut() = Full::new(body.into());
    reply
}

fn prefer(mut answer: Answer, interaction: &Interaction, preference: Option<Return>) -> Answer {
    let is_success = (200..300).contains(&answer.status);
    if !interaction.is_write() || !is_success || answer.body.is_empty() {
        return answer;
    }
    match preference {
        Some(Return::Minimal) => answer.body.clear(),
        Some(Return::OperationOutcome) => {
            answer.body = model::format(&done_outcome(answer.status)).into();
        }
        Some(Return::Representation) | None => {}
    }
    answer
}

fn done_outcome(status: u16) -> Json {
    let text = if status == 201 { "created" } else { "done" };
    let issue = Issue {
        severity: Severity::Information,
        code: IssueCode::Informational,
        expression: String::new(),
        number: "I-HTTP-1",
        text: text.to_owned(),
    };
    outcome(&[issue])
}

fn gzip(body: &[u8]) -> Option<Vec<u8>> {
    let packed = Vec::with_capacity(body.len() / 4);
    let mut encoder = flate2::write::GzEncoder::new(packed, flate2::Compression::fast());
    encoder.write_all(body).ok()?;
    encoder.finish().ok()
}

/// `+` of `application/fhir+json` arrives as a blank when the client did not encode it.
fn check_format(format: &str) -> Result<(), Failure> {
    let format = format.replace(' ', "+");
    if is_json(format.trim()) {
        return Ok(());
    }
    Err(not_acceptable("E-HTTP-2"))
}

fn check_accept(headers: &HeaderMap) -> Result<(), Failure> {
    let mut values = headers.get_all(header::ACCEPT).iter().peekable();
    if values.peek().is_none() {
        return Ok(());
    }
    let texts = values.filter_map(|value| value.to_str().ok());
    let mut ranges = texts.flat_map(|text| text.split(','));
    if ranges.any(is_acceptable) {
        return Ok(());
    }
    Err(not_acceptable("E-HTTP-3"))
}

fn is_acceptable(range: &str) -> bool {
    let mut parts = range.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default();
    let is_offered = matches!(kind, "*/*" | "application/*" | "") || is_json(range.trim());
    is_offered && !parts.any(is_refusal)
}

/// `q=0`: not acceptable (RFC 9110 12.4.2).
fn is_refusal(parameter: &str) -> bool {
    let quality = parameter.trim().strip_prefix("q=");
    quality.is_some_and(|quality| quality.chars().all(|c| c == '0' || c == '.'))
}

fn is_json(text: &str) -> bool {
    let mut parts = text.split(';').map(|part| part.trim().to_ascii_lowercase());
    let kind = parts.next().unwrap_or_default();
    let known = [
        "json",
        "application/json",
        "application/fhir+json",
        "application/json+fhir",
        "text/json",
    ];
    let is_other_release =
        |part: String| part.starts_with("fhirversion=") && !part.starts_with("fhirversion=4.0");
    known.contains(&kind.as_str()) && !parts.any(is_other_release)
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let value = headers.get(header::ACCEPT_ENCODING);
    let text = value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let mut codings = text.split(',').map(str::trim);
    codings.any(|coding| match coding.split_once(';') {
        Some((name, quality)) => name.trim() == "gzip" && !is_refusal(quality),
        None => coding == "gzip",
    })
}

fn preference(headers: &HeaderMap) -> Option<Return> {
    let values = headers.get_all(HeaderName::from_static("prefer")).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let mut parts = texts.flat_map(|text| text.split([',', ';'])).map(str::trim);
    parts.find_map(
        |part| match part.strip_prefix("return=")?.trim_matches('"') {
            "minimal" => Some(Return::Minimal),
            "representation" => Some(Return::Representation),
            "OperationOutcome" => Some(Return::OperationOutcome),
            _ => None,
        },
    )
}

fn not_acceptable(number: &'static str) -> Failure {
    let text = "answers are application/fhir+json of FHIR 4.0; ask for that";
    Failure::new(
        Category::NotAcceptable,
        number,
        IssueCode::NotSupported,
        text,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[track_caller]
    fn check_accept(accept: &str, format: &str, expected: bool) {
        let headers = match accept {
            "-" => HeaderMap::new(),
            accept => headers(&[("accept", accept)]),
        };
        let query = match format {
            "-" => Vec::new(),
            format => vec![("_format".to_owned(), format.to_owned())],
        };
        assert_eq!(Form::negotiate(&headers, &query).is_ok(), expected);
    }

    #[test]
    fn only_json_is_offered() {
        check_accept("-", "-", true);
        check_accept("*/*", "-", true);
        check_accept("text/html, application/*;q=0.5", "-", true);
        check_accept("application/fhir+json; fhirVersion=4.0", "-", true);
        check_accept("application/fhir+json; fhirVersion=3.0", "-", false);
        check_accept("application/fhir+xml", "-", false);
        check_accept("application/fhir+xml, */*;q=0", "-", false);
        check_accept("application/fhir+xml", "json", true);
        check_accept("-", "application/fhir json", true);
        check_accept("-", "xml", false);
        check_accept("application/json", "ttl", false);
    }

    #[test]
    fn preferences_are_read_wherever_they_stand() {
        let read = |value| preference(&headers(&[("prefer", value)]));
        assert_eq!(read("return=minimal"), Some(Return::Minimal));
        assert_eq!(
            read("handling=strict, return=representation"),
            Some(Return::Representation)
        );
        assert_eq!(
            read("return=OperationOutcome"),
            Some(Return::OperationOutcome)
        );
        assert_eq!(read("respond-async"), None);
    }

    #[test]
    fn gzip_is_sent_only_when_accepted_and_worth_it() {
        let answer = |size: usize| Answer {
            status: 200,
            headers: Vec::new(),
            body: vec![b' '; size],
        };
        let accepting = Form {
            accepts_gzip: true,
            ..Form::default()
        };
        let is_packed = |size, form| {
            finish(answer(size), form)
                .headers()
                .contains_key(header::CONTENT_ENCODING)
        };
        assert!(is_packed(5000, accepting));
        assert!(!is_packed(500, accepting));
        assert!(!is_packed(5000, Form::default()));
        assert!(accepts_gzip(&headers(&[(
            "accept-encoding",
            "br, gzip;q=0.8"
        )])));
        assert!(!accepts_gzip(&headers(&[(
            "accept-encoding",
            "gzip;q=0, br"
        )])));
    }

    #[test]
    fn a_minimal_answer_keeps_its_headers() {
        let etag = HeaderValue::from_static("W/\"1\"");
        let answer = Answer {
            status: 201,
            headers: vec![(header::ETAG, etag.clone())],
            body: b"{}".to_vec(),
        };
        let create = Interaction::Create {
            resource_type: "Patient".to_owned(),
        };
        let form = Form {
            preference: Some(Return::Minimal),
            ..Form::default()
        };
        let reply = reply(answer, &create, form);
        assert_eq!(reply.headers().get(header::ETAG), Some(&etag));
        assert!(!reply.headers().contains_key(header::CONTENT_TYPE));
    }
}
