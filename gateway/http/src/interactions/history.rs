//! GET Type/id/_history, Type/_history and _history: versions, newest first, deletions and versions
//! kept aside included; `_since`, `_at`, `_count`. <https://hl7.org/fhir/R4/http.html#history>

use super::bundle_text::BundleText;
use super::{Surface, answers, aside, preconditions};
use crate::exchange::{Answer, Exchange};
use fhir_mapping::model::{IssueCode, Json};
use fhir_mapping::search::{Handling, Zone, period_ms};
use gateway_ground::clock::format_instant;
use gateway_ground::failure::{Category, Failure};
use gateway_repository::{LogPage, LogRequest, Period, VersionInfo};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use store::ResourceKey;

/// Continues before this version or place in the log: our own parameter in `next` links.
const BEFORE: &str = "_before";

/// What a history was asked for.
struct Asked {
    count: usize,
    before: Option<u64>,
    period: Period,
    /// The query of the self link.
    used: String,
}

pub(super) fn answer(
    surface: &Surface,
    exchange: &Exchange,
    key: &ResourceKey,
) -> Result<Answer, Failure> {
    let asked = Asked::read(surface, exchange)?;
    let url = format!("{}/{}/{}", exchange.base_url, key.resource_type, key.id);
    let repository = &surface.repository;
    let is_whole = asked.period == Period::default();
    let total = match is_whole {
        true => Some(repository.history(key, None, 0)?.total),
        false => None,
    };
    let page = repository.history_within(key, asked.period, (asked.before, asked.count))?;
    Ok(bundle(&page, (&url, &asked), (exchange, total)))
}

/// History of a type, or of the whole site.
pub(super) async fn of_many(
    surface: &Surface,
    exchange: &Exchange,
    resource_type: Option<&str>,
) -> Result<Answer, Failure> {
    let asked = Asked::read(surface, exchange)?;
    let request = LogRequest {
        resource_type: resource_type.map(str::to_owned),
        period: asked.period,
        before: asked.before,
        count: asked.count,
    };
    let repository = surface.repository.clone();
    let page = aside(move || repository.log(&request)).await?;
    let url = match resource_type {
        Some(name) => format!("{}/{name}", exchange.base_url),
        None => exchange.base_url.clone(),
    };
    Ok(bundle(&page, (&url, &asked), (exchange, None)))
}

fn bundle(
    page: &LogPage,
    (url, asked): (&str, &Asked),
    (exchange, total): (&Exchange, Option<u64>),
) -> Answer {
    let url = format!("{url}/_history?{}", asked.used);
    let mut links = vec![("self", url.clone())];
    let next = page.next.map(|next| format!("{url}&{BEFORE}={next}"));
    links.extend(next.map(|next| ("next", next)));
    let mut bundle = BundleText::new("history", total, &links);
    for version in &page.versions {
        let key = &version.stored.key;
        let full_url = format!("{}/{}/{}", exchange.base_url, key.resource_type, key.id);
        bundle.push(Some(&full_url), &version.stored.body, &members(version));
    }
    answers::body(bundle.finish())
}

fn members(version: &VersionInfo) -> [(&'static str, Json); 2] {
    let (stored, method) = (&version.stored, version.method);
    let key = &stored.key;
    let url = match method {
        "POST" => key.resource_type.clone(),
        _ => format!("{}/{}", key.resource_type, key.id),
    };
    let status = match method {
        "DELETE" => "204",
        _ if stored.version.0 == 1 => "201",
        _ => "200",
    };
    let request = Json::object([("method", method.into()), ("url", url.into())]);
    let response = Json::object([
        ("status", status.into()),
        ("etag", answers::etag(stored.version).into()),
        ("lastModified", format_instant(stored.time_ms).into()),
    ]);
    [("request", request), ("response", response)]
}

impl Asked {
    fn read(surface: &Surface, exchange: &Exchange) -> Result<Asked, Failure> {
        check_parameters(exchange)?;
        let zone = surface.repository.zone();
        let count = number(exchange, "_count")?.and_then(|count| usize::try_from(count).ok());
        let count = count
            .unwrap_or(surface.page_size)
            .clamp(1, surface.page_size_max);
        let since = period(exchange, "_since", zone)?;
        let at = period(exchange, "_at", zone)?;
        let mut used = format!("_count={count}");
        for name in ["_since", "_at"] {
            if let Some(value) = last(exchange, name) {
                let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
                used.push_str(&format!("&{name}={value}"));
            }
        }
        Ok(Asked {
            count,
            before: number(exchange, BEFORE)?,
            period: Period {
                since_ms: since.map(|(start, _)| start),
                at_ms: at,
            },
            used,
        })
    }
}

fn last<'e>(exchange: &'e Exchange, name: &str) -> Option<&'e str> {
    let mut pairs = exchange.query.iter().rev();
    let found = pairs.find(|(n, value)| n == name && !value.is_empty());
    found.map(|(_, value)| value.as_str())
}

fn number(exchange: &Exchange, name: &str) -> Result<Option<u64>, Failure> {
    let number = last(exchange, name).map(str::parse).transpose();
    number.map_err(|_not_a_number| {
        let text = format!("{name} takes a whole number");
        Failure::new(Category::Incorrect, "E-HISTORY-1", IssueCode::Value, text)
    })
}

/// The `+` of a zone arrives as a blank when the client did not encode it.
fn period(exchange: &Exchange, name: &str, zone: &Zone) -> Result<Option<(i64, i64)>, Failure> {
    let Some(text) = last(exchange, name) else {
        return Ok(None);
    };
    let period = period_ms(&text.replace(' ', "+"), zone);
    period.map(Some).ok_or_else(|| {
        let text = format!("{name} takes an instant, a dateTime or a date");
        Failure::new(Category::Incorrect, "E-HISTORY-3", IssueCode::Value, text)
    })
}

/// Under strict handling, a parameter that has no effect is refused. Newest first is the one order.
fn check_parameters(exchange: &Exchange) -> Result<(), Failure> {
    let known = ["_count", "_since", "_at", BEFORE, "_format", "_pretty"];
    let unknown = exchange.query.iter().find(|(name, value)| {
        let is_own_order = name == "_sort" && matches!(value.as_str(), "-_lastUpdated" | "none");
        !known.contains(&name.as_str()) && !is_own_order
    });
    match unknown {
        Some(_) if preconditions::handling(&exchange.headers) == Handling::Strict => {
            let text = "history knows _count, _since, _at, _format and _pretty, newest first";
            Err(Failure::new(
                Category::Incorrect,
                "E-HISTORY-2",
                IssueCode::NotSupported,
                text,
            ))
        }
        _ => Ok(()),
    }
}
