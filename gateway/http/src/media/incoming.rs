//! A request's body on its way in: its type is checked, XML becomes JSON, a form becomes parameters,
//! bytes for Binary become a resource.

use super::{Format, Kind, binary};
use crate::route::{self, Interaction};
use bytes::Bytes;
use fhir_mapping::model::{self, IssueCode, Limits};
use fhir_mapping::xml;
use gateway_ground::failure::{Category, Failure};
use http::request::Parts;
use http::{HeaderValue, Method, header};

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Json,
    Xml,
    /// Parameters of a search.
    Form,
    /// A Binary's bytes, or a Binary resource.
    Bytes,
}

/// More than this is converted on a thread that may block.
const ASIDE_BYTES_MIN: usize = 256 << 10;

/// 415 for a type that the interaction does not take.
pub(crate) fn check(head: &Parts, interaction: &Interaction) -> Result<Content, Failure> {
    if !matches!(head.method, Method::POST | Method::PUT | Method::PATCH) {
        return Ok(Content::Json);
    }
    let value = head.headers.get(header::CONTENT_TYPE);
    let text = value.map_or("", |value| value.to_str().unwrap_or("?"));
    let kind = Kind::read(text);
    if interaction.is_search() {
        return match kind.name.as_str() {
            "application/x-www-form-urlencoded" | "" => Ok(Content::Form),
            _ => Err(unsupported("E-HTTP-7", SEARCH_TEXT)),
        };
    }
    let is_binary = binary::is_written(interaction) && !kind.name.is_empty();
    if is_binary && !(kind.is_fhir() && kind.format().is_some()) {
        return Ok(Content::Bytes);
    }
    check_charset(text)?;
    if !kind.is_our_release() {
        return Err(unsupported("E-MEDIA-1", "bodies are of FHIR 4.0"));
    }
    match kind.format() {
        _ if is_binary => Ok(Content::Bytes),
        Some(Format::Xml) => Ok(Content::Xml),
        Some(Format::Json) => Ok(Content::Json),
        // The interaction itself says which kinds of patch there are.
        None if kind.name.is_empty() || head.method == Method::PATCH => Ok(Content::Json),
        None => Err(unsupported("E-MEDIA-2", RESOURCE_TEXT)),
    }
}

const SEARCH_TEXT: &str = "the body of _search is a form, application/x-www-form-urlencoded";
const RESOURCE_TEXT: &str = "the body must be application/fhir+json or application/fhir+xml";

/// The body as the interaction wants it: JSON text. A form's pairs are appended to `query`.
pub(crate) async fn take(
    content: Content,
    body: Bytes,
    (head, query): (&mut Parts, &mut Vec<(String, String)>),
    interaction: &Interaction,
) -> Result<Bytes, Failure> {
    match content {
        Content::Json => Ok(body),
        Content::Form => {
            let text = std::str::from_utf8(&body).map_err(|_not_utf8| not_utf8())?;
            query.extend(route::pairs(text)?);
            Ok(Bytes::new())
        }
        Content::Xml => {
            let json = HeaderValue::from_static("application/fhir+json");
            head.headers.insert(header::CONTENT_TYPE, json);
            if body.len() < ASIDE_BYTES_MIN {
                return from_xml(&body);
            }
            let converted = tokio::task::spawn_blocking(move || from_xml(&body)).await;
            converted.unwrap_or_else(|_panicked| Err(stopped()))
        }
        Content::Bytes => binary::resource(&head.headers, body, interaction),
    }
}

pub(super) fn from_xml(body: &[u8]) -> Result<Bytes, Failure> {
    if body.is_empty() {
        return Ok(Bytes::new());
    }
    let tree = xml::parse(body, Limits::default());
    let tree = tree.map_err(|issue| Failure::of(Category::Incorrect, vec![issue]))?;
    Ok(model::format(&tree).into())
}

/// FHIR is UTF-8 alone.
fn check_charset(text: &str) -> Result<(), Failure> {
    let mut parameters = text.split(';').skip(1).map(str::trim);
    let charset = parameters.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let value = value.trim().trim_matches('"').to_ascii_lowercase();
        name.trim().eq_ignore_ascii_case("charset").then_some(value)
    });
    match charset.as_deref() {
        None | Some("utf-8" | "utf8" | "us-ascii") => Ok(()),
        Some(_) => Err(unsupported(
            "E-MEDIA-3",
            "FHIR is UTF-8; send charset=utf-8",
        )),
    }
}

fn unsupported(number: &'static str, text: &str) -> Failure {
    let code = IssueCode::NotSupported;
    Failure::new(Category::UnsupportedMedia, number, code, text)
}

fn not_utf8() -> Failure {
    let text = "the form is not UTF-8";
    Failure::new(Category::Incorrect, "E-HTTP-8", IssueCode::Value, text)
}

fn stopped() -> Failure {
    let text = "reading the body stopped unexpectedly; report it with what was sent";
    Failure::new(Category::Fault, "E-MEDIA-4", IssueCode::Exception, text)
}
