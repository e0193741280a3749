//! Answers on the wire: content type, XML, `_pretty`, `Prefer: return`, compression.

use super::exchange::Answer;
use super::flow::{self, Pieces, ReplyBody};
use super::media::{Form, Format, Return};
use super::route::{Interaction, Unrouted};
use bytes::Bytes;
use fhir_mapping::model::{self, Issue, IssueCode, Json, Limits, Severity};
use fhir_mapping::xml;
use gateway_ground::failure::{Category, Failure, outcome};
use http::{HeaderName, HeaderValue, Response, StatusCode, header};

/// What goes back to hyper.
pub type Reply = Response<ReplyBody>;

/// Smaller bodies are sent as they are.
const PACKED_BYTES_MIN: usize = 1024;
/// Larger ones are converted and compressed on a thread that may block.
const ASIDE_BYTES_MIN: usize = 256 << 10;
/// Deeper than any resource that is taken in: a Bundle puts three levels around it.
const DEPTH_MAX: usize = 128;

/// The answer of an interaction.
pub async fn reply(answer: Answer, interaction: &Interaction, form: Form) -> Reply {
    let answer = prefer(answer, interaction, form.preference);
    if answer.body.len() < ASIDE_BYTES_MIN {
        return finish(answer, &form).map(flow::whole);
    }
    let finished = tokio::task::spawn_blocking(move || finish(answer, &form)).await;
    match finished {
        Ok(finished) => finished.map(flow::whole),
        Err(_panicked) => refusal(&stopped(), &Form::default()),
    }
}

/// 200 with a body that is made while it is sent.
pub(crate) fn streamed(content_type: &'static str, pieces: Pieces, form: &Form) -> Reply {
    let body = match flow::flow(pieces, form.coding) {
        Ok(body) => body,
        Err(_no_room_to_pack) => return refusal(&stopped(), form),
    };
    let head = Answer {
        status: 200,
        headers: vec![
            (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
            (header::VARY, HeaderValue::from_static("Accept-Encoding")),
        ],
        body: Vec::new(),
    };
    let mut reply = finish(head, form).map(|_empty| body);
    if let Some(coding) = form.coding {
        let headers = reply.headers_mut();
        headers.insert(header::CONTENT_ENCODING, coding.as_header());
    }
    reply
}

/// A refusal as OperationOutcome.
pub fn refusal(failure: &Failure, form: &Form) -> Reply {
    finish(refused(failure), form).map(flow::whole)
}

fn refused(failure: &Failure) -> Answer {
    let mut headers = Vec::new();
    if let Some(seconds) = failure.retry_after_s {
        headers.push((header::RETRY_AFTER, HeaderValue::from(seconds)));
    }
    if failure.category == Category::Unauthenticated {
        let scheme = HeaderValue::from_static("Bearer realm=\"wayside\"");
        headers.push((header::WWW_AUTHENTICATE, scheme));
    }
    Answer {
        status: failure.category.status(),
        headers,
        body: model::format(&failure.outcome()).into(),
    }
}

/// A path or method that leads nowhere.
pub fn unrouted(unrouted: &Unrouted, form: &Form) -> Reply {
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
    finish(answer, &Form::default()).map(flow::whole)
}

/// An answer that brings its own headers, the content type among them: the administration's pages.
pub fn page(answer: Answer) -> Reply {
    finish(answer, &Form::default()).map(flow::whole)
}

/// The answer in the form that the client wants.
pub(crate) fn finish(answer: Answer, form: &Form) -> Response<Bytes> {
    let mut reply = Response::new(Bytes::new());
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
    let mut body = answer.body;
    if body.is_empty() {
        return reply;
    }
    if !headers.contains_key(header::CONTENT_TYPE) {
        match rendered(body, form) {
            Ok(text) => body = text,
            Err(failure) => return finish(refused(&failure), &Form::default()),
        }
        let content_type = HeaderValue::from_static(form.content_type);
        headers.insert(header::CONTENT_TYPE, content_type);
        headers.append(header::VARY, HeaderValue::from_static("Accept"));
    }
    if body.len() >= PACKED_BYTES_MIN && !headers.contains_key(header::CONTENT_ENCODING) {
        headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        if let Some(coding) = form.coding
            && let Ok(packed) = coding.encode(&body)
        {
            headers.insert(header::CONTENT_ENCODING, coding.as_header());
            body = packed;
        }
    }
    *reply.body_mut() = body.into();
    reply
}

/// JSON text in the form that the client wants.
fn rendered(body: Vec<u8>, form: &Form) -> Result<Vec<u8>, Failure> {
    if form.format == Format::Json && !form.is_pretty {
        return Ok(body);
    }
    let limits = Limits {
        depth_max: DEPTH_MAX,
        ..Limits::default()
    };
    let tree = model::parse(&body, limits);
    let tree = tree.map_err(|issue| Failure::of(Category::Fault, vec![issue]))?;
    let text = match (form.format, form.is_pretty) {
        (Format::Json, _) => Ok(model::format_pretty(&tree)),
        (Format::Xml, false) => xml::format(&tree),
        (Format::Xml, true) => xml::format_pretty(&tree),
    };
    let text = text.map_err(|issue| Failure::of(Category::NotAcceptable, vec![issue]))?;
    Ok(text.into_bytes())
}

fn prefer(mut answer: Answer, interaction: &Interaction, preference: Option<Return>) -> Answer {
    let is_success = (200..300).contains(&answer.status);
    let Some(preference) = preference else {
        return answer;
    };
    if !interaction.is_write() || !is_success || answer.body.is_empty() {
        return answer;
    }
    match preference {
        Return::Minimal => answer.body.clear(),
        Return::OperationOutcome => {
            answer.body = model::format(&done_outcome(answer.status)).into();
        }
        Return::Representation => {}
    }
    let applied = format!("return={}", preference.as_str());
    let applied = HeaderValue::from_str(&applied).ok();
    let name = HeaderName::from_static("preference-applied");
    answer
        .headers
        .extend(applied.map(|applied| (name, applied)));
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

fn stopped() -> Failure {
    let text = "writing the answer stopped unexpectedly; report it with what was asked";
    Failure::new(Category::Fault, "E-MEDIA-6", IssueCode::Exception, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Coding;

    fn answer(body: &[u8]) -> Answer {
        Answer {
            status: 200,
            headers: Vec::new(),
            body: body.to_vec(),
        }
    }

    #[test]
    fn a_body_is_packed_only_when_accepted_and_worth_it() {
        let check = |size: usize, coding, expected: Option<&str>| {
            let form = Form {
                coding,
                ..Form::default()
            };
            let reply = finish(answer(&vec![b' '; size]), &form);
            let found = reply.headers().get(header::CONTENT_ENCODING);
            assert_eq!(found.map(|value| value.to_str().unwrap()), expected);
        };
        check(5000, Some(Coding::Gzip), Some("gzip"));
        check(5000, Some(Coding::Zstd), Some("zstd"));
        check(500, Some(Coding::Gzip), None);
        check(5000, None, None);
    }

    #[test]
    fn what_has_no_xml_is_refused_in_json() {
        let form = Form {
            format: Format::Xml,
            ..Form::default()
        };
        let reply = finish(answer(br#"{"resourceType":"Patient","x":1}"#), &form);
        assert_eq!(reply.status(), 406);
        let content_type = reply.headers().get(header::CONTENT_TYPE).unwrap();
        assert_eq!(content_type, "application/fhir+json; charset=utf-8");
    }

    #[tokio::test]
    async fn a_minimal_answer_keeps_its_headers() {
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
        let reply = reply(answer, &create, form).await;
        assert_eq!(reply.headers().get(header::ETAG), Some(&etag));
        assert_eq!(
            reply.headers().get("preference-applied").unwrap(),
            "return=minimal"
        );
        assert!(!reply.headers().contains_key(header::CONTENT_TYPE));
    }
}
