//! How a client wants its answer: `Accept`, `_format`, `_pretty`, `Accept-Encoding`, `Prefer`.
//! <https://hl7.org/fhir/R4/http.html#mime-type>

use super::Coding;
use super::Kind;
use fhir_mapping::model::IssueCode;
use gateway_ground::failure::{Category, Failure};
use http::{HeaderMap, HeaderName, header};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Xml,
}

/// `Prefer: return` (R4 3.1.0.1.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Return {
    Minimal,
    Representation,
    OperationOutcome,
}

impl Return {
    /// As in the header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minimal => "minimal",
            Self::Representation => "representation",
            Self::OperationOutcome => "OperationOutcome",
        }
    }
}

/// How the client wants its answer; JSON as it is unless it says otherwise.
#[derive(Clone, Debug)]
pub struct Form {
    pub format: Format,
    pub content_type: &'static str,
    pub is_pretty: bool,
    pub coding: Option<Coding>,
    pub preference: Option<Return>,
    /// Number of the refusal when nothing that we offer is acceptable.
    pub(crate) unacceptable: Option<&'static str>,
    /// What `Accept` lists; empty when `_format` decides.
    pub(crate) ranges: Vec<Range>,
    /// `_format` was given: a resource is wanted, not a Binary's bytes.
    pub(crate) is_explicit: bool,
}

/// One entry of `Accept`.
#[derive(Clone, Debug)]
pub(crate) struct Range {
    pub(super) name: String,
    /// In thousandths; 0 is a refusal.
    pub(super) quality: u16,
    offer: Option<Offer>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Offer {
    format: Format,
    content_type: &'static str,
}

const FHIR_JSON: Offer = Offer {
    format: Format::Json,
    content_type: "application/fhir+json; charset=utf-8",
};
const FHIR_XML: Offer = Offer {
    format: Format::Xml,
    content_type: "application/fhir+xml; charset=utf-8",
};

impl Default for Form {
    fn default() -> Form {
        Form {
            format: FHIR_JSON.format,
            content_type: FHIR_JSON.content_type,
            is_pretty: false,
            coding: None,
            preference: None,
            unacceptable: None,
            ranges: Vec::new(),
            is_explicit: false,
        }
    }
}

impl Form {
    /// Reads headers and query; when nothing acceptable is on offer, refusals come as JSON.
    pub fn negotiate(headers: &HeaderMap, query: &[(String, String)]) -> Form {
        let last = |name: &str| query.iter().rev().find(|(n, _)| n == name);
        let asked = last("_format").filter(|(_, format)| !format.is_empty());
        let (ranges, offer, number) = match asked {
            Some((_, format)) => (Vec::new(), by_parameter(format), "E-HTTP-2"),
            None => {
                let ranges = ranges(headers);
                let offer = choose(&ranges);
                (ranges, offer, "E-HTTP-3")
            }
        };
        let Offer {
            format,
            content_type,
        } = offer.unwrap_or(FHIR_JSON);
        Form {
            format,
            content_type,
            is_pretty: last("_pretty").is_some_and(|(_, value)| value == "true"),
            coding: Coding::accepted(headers),
            preference: preference(headers),
            unacceptable: offer.is_none().then_some(number),
            ranges,
            is_explicit: asked.is_some(),
        }
    }

    /// 406 when the client accepts nothing that resources come as.
    pub fn check(&self) -> Result<(), Failure> {
        let Some(number) = self.unacceptable else {
            return Ok(());
        };
        let text = "answers are application/fhir+json or application/fhir+xml of FHIR 4.0; ask for one of them";
        let code = IssueCode::NotSupported;
        Err(Failure::new(Category::NotAcceptable, number, code, text))
    }
}

/// `_format`; `+` of `application/fhir+json` arrives as a blank when the client did not encode it.
fn by_parameter(format: &str) -> Option<Offer> {
    let format = format.trim().replace(' ', "+").replace(";+", ";");
    match format.as_str() {
        "json" => Some(FHIR_JSON),
        "xml" => Some(FHIR_XML),
        _ => offer(&Kind::read(&format)),
    }
}

/// A generic type is answered by its own name.
fn offer(kind: &Kind) -> Option<Offer> {
    if !kind.is_our_release() {
        return None;
    }
    let (format, content_type) = match kind.name.as_str() {
        "application/json" => (Format::Json, "application/json; charset=utf-8"),
        "text/json" => (Format::Json, "text/json; charset=utf-8"),
        "application/xml" => (Format::Xml, "application/xml; charset=utf-8"),
        "text/xml" => (Format::Xml, "text/xml; charset=utf-8"),
        _ => match kind.format()? {
            Format::Json => return Some(FHIR_JSON),
            Format::Xml => return Some(FHIR_XML),
        },
    };
    Some(Offer {
        format,
        content_type,
    })
}

fn ranges(headers: &HeaderMap) -> Vec<Range> {
    let values = headers.get_all(header::ACCEPT).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let parts = texts.flat_map(|text| text.split(','));
    parts
        .map(|part| {
            let kind = Kind::read(part);
            let offer = match kind.name.as_str() {
                "*/*" | "application/*" | "" if kind.is_our_release() => Some(FHIR_JSON),
                "text/*" if kind.is_our_release() => offer(&Kind::read("text/json")),
                // Lines of resources: operations that have them set the type themselves.
                "application/fhir+ndjson" | "application/ndjson" | "application/x-ndjson" => {
                    Some(FHIR_JSON)
                }
                _ => offer(&kind),
            };
            Range {
                name: kind.name,
                quality: quality(part),
                offer,
            }
        })
        .collect()
}

/// The best that both sides know; among equals the one named first. A browser, which also asks for
/// XML, gets JSON.
fn choose(ranges: &[Range]) -> Option<Offer> {
    if ranges.is_empty() {
        return Some(FHIR_JSON);
    }
    let is_refused = |format: Format| {
        let mut refused = ranges.iter().filter(|range| range.quality == 0);
        refused.any(|r| !r.name.contains('*') && r.offer.is_some_and(|o| o.format == format))
    };
    let mut best: Option<(u16, Offer)> = None;
    for range in ranges.iter().filter(|range| range.quality > 0) {
        let Some(mut offer) = range.offer else {
            continue;
        };
        if range.name.contains('*') && is_refused(Format::Json) {
            offer = FHIR_XML;
        }
        if !is_refused(offer.format) && best.is_none_or(|(quality, _)| range.quality > quality) {
            best = Some((range.quality, offer));
        }
    }
    let is_browser = ranges.iter().any(|range| range.name == "text/html");
    best.map(|(_, offer)| if is_browser { FHIR_JSON } else { offer })
}

/// `q` in thousandths (RFC 9110 12.4.2); 1 when absent or malformed.
pub(super) fn quality(part: &str) -> u16 {
    let mut parameters = part.split(';').skip(1).map(str::trim);
    let text = parameters.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
    });
    let Some((whole, rest)) = text.map(|text| text.split_once('.').unwrap_or((text, ""))) else {
        return 1000;
    };
    let digits = rest.chars().take(3);
    let thousandths: String = digits.chain(std::iter::repeat('0')).take(3).collect();
    match (whole, thousandths.parse::<u16>()) {
        ("0" | "", Ok(thousandths)) => thousandths,
        _ => 1000,
    }
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
