//! Binary, the one resource that is also plain bytes: any content may be posted as it is, and comes
//! back as it is unless FHIR's own type is asked for. <https://hl7.org/fhir/R4/binary.html#rest>

use super::{Form, Format, Kind, incoming};
use crate::exchange::Answer;
use crate::route::Interaction;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use bytes::Bytes;
use fhir_mapping::model::{self, IssueCode, Json, Limits};
use gateway_ground::failure::{Category, Failure};
use http::{HeaderMap, HeaderName, HeaderValue, header};

const SECURITY_CONTEXT: HeaderName = HeaderName::from_static("x-security-context");
const ANY_BYTES: &str = "application/octet-stream";
/// Reads what FHIR's pattern allows: the last letter's spare bits may be set.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);
/// Content that others wrote must not run as a page of this server.
const NOTHING_RUNS: &str = "sandbox; default-src 'none'";

/// Creates or updates this interaction a Binary?
pub(super) fn is_written(interaction: &Interaction) -> bool {
    match interaction {
        Interaction::Create { resource_type } | Interaction::Update { resource_type, .. } => {
            resource_type == "Binary"
        }
        _ => false,
    }
}

/// The Binary resource, in JSON, that a body stands for: itself when it is one, else its content.
pub(super) fn resource(
    headers: &HeaderMap,
    body: Bytes,
    interaction: &Interaction,
) -> Result<Bytes, Failure> {
    let content_type = text(headers, &header::CONTENT_TYPE)?.unwrap_or(ANY_BYTES);
    let kind = Kind::read(content_type);
    let json = match kind.format() {
        None => None,
        Some(Format::Json) => Some(Ok(body.clone())),
        Some(Format::Xml) => Some(incoming::from_xml(&body)),
    };
    match json {
        Some(Ok(json)) if is_binary(&json) => return Ok(json),
        // FHIR's own type, yet nothing that could be FHIR.
        Some(Err(failure)) if kind.is_fhir() => return Err(failure),
        Some(Ok(json)) if kind.is_fhir() => {
            let tree = model::parse(&json, Limits::default());
            tree.map_err(|issue| Failure::of(Category::Incorrect, vec![issue]))?;
        }
        _ => {}
    }
    let mut members = vec![("resourceType", Json::from("Binary"))];
    if let Interaction::Update { id, .. } = interaction {
        members.push(("id", id.as_str().into()));
    }
    members.push(("contentType", content_type.into()));
    if let Some(reference) = text(headers, &SECURITY_CONTEXT)? {
        let reference = Json::object([("reference", reference.into())]);
        members.push(("securityContext", reference));
    }
    if !body.is_empty() {
        members.push(("data", STANDARD.encode(&body).into()));
    }
    Ok(model::format(&Json::object(members)).into())
}

/// The bytes in place of the resource, when the answer is a Binary and the client wants those; 406
/// when it wants neither.
pub(crate) fn answer(
    answer: Answer,
    interaction: &Interaction,
    form: &Form,
) -> Result<Answer, Failure> {
    if !may_be_bytes(interaction) || answer.status != 200 || form.is_explicit {
        form.check()?;
        return Ok(answer);
    }
    let tree = model::parse(&answer.body, Limits::default());
    let tree = tree.map_err(|issue| Failure::of(Category::Fault, vec![issue]))?;
    let content_type = tree.str_at(&["contentType"]).unwrap_or(ANY_BYTES);
    let data = tree.str_at(&["data"]).unwrap_or_default();
    let plain: String = data.split_ascii_whitespace().collect();
    match LENIENT.decode(plain) {
        Ok(content) if wants_bytes(form, content_type) => {
            Ok(bytes(answer, content, (&tree, content_type)))
        }
        _ => {
            form.check()?;
            Ok(answer)
        }
    }
}

/// A Binary is read with the client's wish in mind; everything else is refused before it runs.
pub(crate) fn may_be_bytes(interaction: &Interaction) -> bool {
    match interaction {
        Interaction::Read { resource_type, .. } | Interaction::Vread { resource_type, .. } => {
            resource_type == "Binary"
        }
        _ => false,
    }
}

/// Unless FHIR's own type is what the client likes best, the content's type is tried first.
fn wants_bytes(form: &Form, content_type: &str) -> bool {
    let is_fhir = |name: &str| name.contains("fhir");
    let liked = form.ranges.iter().map(|range| range.quality).max();
    let mut best = form.ranges.iter().filter(|r| Some(r.quality) == liked);
    if best.any(|range| is_fhir(&range.name)) {
        return false;
    }
    let name = Kind::read(content_type).name;
    let family = name.split('/').next().unwrap_or_default();
    let matches =
        |range: &str| range == "*/*" || range == name || range.strip_suffix("/*") == Some(family);
    let mut accepted = form.ranges.iter().filter(|range| range.quality > 0);
    form.ranges.is_empty() || accepted.any(|range| matches(&range.name))
}

fn bytes(mut answer: Answer, content: Vec<u8>, (tree, content_type): (&Json, &str)) -> Answer {
    answer.body = content;
    let content_type = HeaderValue::from_str(content_type);
    let content_type = content_type.unwrap_or(HeaderValue::from_static(ANY_BYTES));
    answer.headers.push((header::CONTENT_TYPE, content_type));
    let policy = HeaderValue::from_static(NOTHING_RUNS);
    answer
        .headers
        .push((header::CONTENT_SECURITY_POLICY, policy));
    let context = tree.str_at(&["securityContext", "reference"]);
    let context = context.and_then(|text| HeaderValue::from_str(text).ok());
    let context = context.map(|value| (SECURITY_CONTEXT, value));
    answer.headers.extend(context);
    answer
}

fn is_binary(json: &[u8]) -> bool {
    let tree = model::parse(json, Limits::default());
    tree.is_ok_and(|tree| tree.resource_type() == Some("Binary"))
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Failure> {
    let value = headers.get(name).map(|value| value.to_str());
    value.transpose().map_err(|_not_text| {
        let text = format!("the header {name} is not plain text");
        Failure::new(Category::Incorrect, "E-MEDIA-5", IssueCode::Value, text)
    })
}
