//! Entries of a batch or transaction: the request that each stands for, and its part of the answer
//! (R4 Bundle.entry).

use super::{answers, patch, preconditions};
use crate::exchange::{Answer, Exchange};
use crate::route::{Interaction, pairs, route};
use fhir_mapping::model::{IssueCode, Json, format};
use gateway_ground::clock::format_instant;
use gateway_ground::failure::{Category, Failure};
use gateway_repository::{Written, WrittenKind};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

/// One entry, routed like a request of its own.
pub(super) struct Entry {
    pub(super) index: usize,
    pub(super) full_url: Option<String>,
    pub(super) interaction: Interaction,
    pub(super) query: Vec<(String, String)>,
    /// `If-Match`, `If-None-Match`, `If-None-Exist`, `If-Modified-Since` of the entry's request.
    pub(super) headers: HeaderMap,
    pub(super) resource: Option<Json>,
}

/// What an entry of the answer holds.
pub(super) struct EntryAnswer {
    /// JSON text; empty when the answer has none.
    pub(super) resource: Vec<u8>,
    /// `Bundle.entry.response`.
    pub(super) response: Json,
}

/// Reads one entry whose resource was taken out. Failures name the element of the Bundle.
pub(super) fn read(
    (index, shell): (usize, &Json),
    resource: Option<Json>,
    base_url: &str,
) -> Result<Entry, Failure> {
    let text = |name: &str| {
        shell
            .get("request")
            .and_then(|r| r.get(name))
            .and_then(Json::as_str)
    };
    let (Some(method), Some(url)) = (text("method"), text("url")) else {
        let text = "each entry needs a request with method and url";
        return Err(
            Failure::new(Category::Incorrect, "E-BUNDLE-3", IssueCode::Required, text)
                .at(&format!("Bundle.entry[{index}].request")),
        );
    };
    let located = |failure: Failure| failure.at(&format!("Bundle.entry[{index}].request.url"));
    let (interaction, query) = target(method, url, base_url).map_err(located)?;
    let mut headers = HeaderMap::new();
    for (element, name) in [
        ("ifMatch", header::IF_MATCH),
        ("ifNoneMatch", header::IF_NONE_MATCH),
        ("ifNoneExist", HeaderName::from_static("if-none-exist")),
    ] {
        if let Some(value) = text(element) {
            let value = HeaderValue::from_bytes(value.as_bytes());
            let value = value.map_err(|_control| unreadable(index, element))?;
            headers.insert(name, value);
        }
    }
    let since = text("ifModifiedSince").and_then(|since| since.parse::<jiff::Timestamp>().ok());
    if let Some(since) = since {
        let since = HeaderValue::from_str(&answers::http_date(since.as_millisecond()));
        headers.extend(since.ok().map(|since| (header::IF_MODIFIED_SINCE, since)));
    }
    Ok(Entry {
        index,
        full_url: shell
            .get("fullUrl")
            .and_then(Json::as_str)
            .map(str::to_owned),
        interaction,
        query,
        headers,
        resource,
    })
}

/// A condition that were left out would let a write pass that must not.
fn unreadable(index: usize, element: &str) -> Failure {
    let text = format!("{element} holds control characters, as a line break");
    Failure::new(Category::Incorrect, "E-BUNDLE-5", IssueCode::Value, text)
        .at(&format!("Bundle.entry[{index}].request.{element}"))
}

/// Method and URL of an entry as an interaction and its query.
fn target(
    method: &str,
    url: &str,
    base_url: &str,
) -> Result<(Interaction, Vec<(String, String)>), Failure> {
    let method = Method::from_bytes(method.as_bytes()).unwrap_or(Method::TRACE);
    let url = url.strip_prefix(base_url).unwrap_or(url);
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    if path.contains("://") {
        let text = "the url of an entry is relative to this server's base";
        return Err(Failure::new(
            Category::Incorrect,
            "E-BUNDLE-4",
            IssueCode::Value,
            text,
        ));
    }
    let path = format!("/{}", path.trim_start_matches('/'));
    let interaction = route(&method, &path).map_err(|unrouted| unrouted.failure)?;
    Ok((interaction, pairs(query)?))
}

impl Entry {
    /// The entry as a request of its own; preferences are those of the whole Bundle.
    pub(super) fn exchange(self, outer: &Exchange) -> Result<Exchange, Failure> {
        let mut headers = self.headers;
        let body = match &self.interaction {
            Interaction::Patch { .. } | Interaction::PatchWhere { .. } => {
                let (kind, body) = patch::unpacked(self.resource)?;
                let kind = HeaderValue::from_str(&kind).ok();
                headers.extend(kind.map(|kind| (header::CONTENT_TYPE, kind)));
                body
            }
            _ => self
                .resource
                .map(|resource| format(&resource).into_bytes())
                .unwrap_or_default(),
        };
        let prefer = HeaderName::from_static("prefer");
        for value in outer.headers.get_all(&prefer) {
            headers.append(&prefer, value.clone());
        }
        Ok(Exchange {
            interaction: self.interaction,
            actor: outer.actor.clone(),
            query: self.query,
            headers,
            body: body.into(),
            base_url: outer.base_url.clone(),
        })
    }
}

impl EntryAnswer {
    /// Locations are relative to the base, as a transaction has them.
    pub(super) fn of_answer(answer: Answer, base_url: &str, with_resource: bool) -> EntryAnswer {
        let mut response = vec![("status", status_text(answer.status).into())];
        for (element, name) in [("location", header::LOCATION), ("etag", header::ETAG)] {
            let value = answer.headers.iter().find(|(n, _)| *n == name);
            let text = value.and_then(|(_, value)| value.to_str().ok());
            let relative = text.map(|text| text.strip_prefix(base_url).unwrap_or(text));
            let relative = relative.map(|text| text.trim_start_matches('/'));
            response.extend(relative.map(|text| (element, text.into())));
        }
        let mut headers = answer.headers.iter();
        let modified = headers.find(|(name, _)| *name == header::LAST_MODIFIED);
        let modified = modified.and_then(|(_, value)| value.to_str().ok());
        if let Some(seconds) = modified.and_then(preconditions::http_date_seconds) {
            let time_ms = seconds.saturating_mul(1000);
            response.push(("lastModified", format_instant(time_ms).into()));
        }
        EntryAnswer {
            resource: if with_resource {
                answer.body
            } else {
                Vec::new()
            },
            response: Json::object(response),
        }
    }

    pub(super) fn of_failure(failure: &Failure) -> EntryAnswer {
        let response = [
            ("status", status_text(failure.category.status()).into()),
            ("outcome", failure.outcome()),
        ];
        EntryAnswer {
            resource: Vec::new(),
            response: Json::object(response),
        }
    }

    pub(super) fn of_written(written: &Written, with_resource: bool) -> EntryAnswer {
        let is_gone = written.body.is_empty();
        let status = match written.kind {
            WrittenKind::Created => 201,
            _ if is_gone => 204,
            _ => 200,
        };
        let mut response = vec![("status", status_text(status).into())];
        if written.version.0 > 0 {
            if !is_gone {
                let location = answers::location(&written.key, written.version);
                response.push(("location", location.into()));
            }
            response.push(("etag", answers::etag(written.version).into()));
            response.push(("lastModified", format_instant(written.time_ms).into()));
        }
        EntryAnswer {
            resource: if with_resource {
                written.body.clone()
            } else {
                Vec::new()
            },
            response: Json::object(response),
        }
    }
}

/// A failure of one entry, with `Bundle.entry[index]` before what it names.
pub(super) fn located(mut failure: Failure, index: usize) -> Failure {
    for issue in &mut failure.issues {
        let entry = format!("Bundle.entry[{index}]");
        issue.expression = match issue.expression.split_once('.') {
            Some(("Bundle", _)) => continue,
            Some((_, tail)) => format!("{entry}.resource.{tail}"),
            None if issue.expression.is_empty() => entry,
            None => format!("{entry}.resource"),
        };
    }
    failure
}

/// `201 Created`
fn status_text(status: u16) -> String {
    let reason = StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason());
    match reason {
        Some(reason) => format!("{status} {reason}"),
        None => status.to_string(),
    }
}
