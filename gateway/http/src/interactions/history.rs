//! GET Type/id/_history, Type/_history and _history: versions, newest first, deletions and versions
//! kept aside included; `_since`, `_at`, `_count`, `_sort`, `_summary`, `_elements`.
//! <https://hl7.org/fhir/R4/http.html#history>

use super::bundle_text::BundleText;
use super::{Surface, answers, aside, preconditions, read};
use crate::exchange::{Answer, Exchange};
use fhir_mapping::model::{IssueCode, Json};
use fhir_mapping::search::{Handling, Zone, period_ms};
use fhir_mapping::subset::Subset;
use gateway_ground::clock::format_instant;
use gateway_ground::failure::{Category, Failure};
use gateway_repository::{LogPage, LogPlace, LogRequest, Period, VersionInfo};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use store::ResourceKey;

/// Where a page begins, a version or a place in the log: our own parameters in `next` links.
const BEFORE: &str = "_before";
const AFTER: &str = "_after";
/// The end of all pages when the oldest come first.
const UNTIL: &str = "_until";
/// What is understood besides `_sort`.
const KNOWN: [&str; 10] = [
    "_count",
    "_since",
    "_at",
    "_summary",
    "_elements",
    BEFORE,
    AFTER,
    UNTIL,
    "_format",
    "_pretty",
];

/// What a history was asked for.
struct Asked {
    /// 0 only counts.
    count: usize,
    place: LogPlace,
    period: Period,
    subset: Option<Subset>,
    /// The query of the self link, without the place.
    used: String,
}

pub(super) fn answer(
    surface: &Surface,
    exchange: &Exchange,
    key: &ResourceKey,
) -> Result<Answer, Failure> {
    let asked = Asked::read(surface, exchange)?;
    let url = format!("{}/{}/{}", exchange.base_url, key.resource_type, key.id);
    let from = (asked.place, asked.count);
    let page = surface.repository.history_within(key, asked.period, from)?;
    Ok(bundle(&page, (&url, &asked), exchange))
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
        place: asked.place,
        count: asked.count,
    };
    let repository = surface.repository.clone();
    let page = aside(move || repository.log(&request)).await?;
    let url = match resource_type {
        Some(name) => format!("{}/{name}", exchange.base_url),
        None => exchange.base_url.clone(),
    };
    Ok(bundle(&page, (&url, &asked), exchange))
}

fn bundle(page: &LogPage, (url, asked): (&str, &Asked), exchange: &Exchange) -> Answer {
    let link = |place: LogPlace| format!("{url}/_history?{}{}", asked.used, shown(place));
    let mut links = vec![("self", link(asked.place))];
    links.extend(page.next.map(|next| ("next", link(next))));
    let mut bundle = BundleText::new("history", page.total, &links);
    for version in &page.versions {
        let key = &version.stored.key;
        let full_url = format!("{}/{}/{}", exchange.base_url, key.resource_type, key.id);
        let body = match &asked.subset {
            Some(how) if !version.stored.deleted => read::lessened(&version.stored.body, how),
            _ => version.stored.body.as_slice().into(),
        };
        bundle.push(Some(&full_url), &body, &members(version));
    }
    answers::body(bundle.finish())
}

/// The place of a page as its link says it.
fn shown(place: LogPlace) -> String {
    match place {
        LogPlace::Before(None) | LogPlace::After { until: None, .. } => String::new(),
        LogPlace::Before(Some(before)) => format!("&{BEFORE}={before}"),
        LogPlace::After {
            last,
            until: Some(until),
        } => format!("&{AFTER}={last}&{UNTIL}={until}"),
    }
}

fn members(version: &VersionInfo) -> [(&'static str, Json); 2] {
    let (stored, method) = (&version.stored, version.method);
    let key = &stored.key;
    let url = match method {
        "POST" => key.resource_type.clone(),
        _ => format!("{}/{}", key.resource_type, key.id),
    };
    let request = Json::object([("method", method.into()), ("url", url.into())]);
    let response = Json::object([
        ("status", version.status.into()),
        ("etag", answers::etag(stored.version).into()),
        ("lastModified", format_instant(stored.time_ms).into()),
    ]);
    [("request", request), ("response", response)]
}

impl Asked {
    fn read(surface: &Surface, exchange: &Exchange) -> Result<Asked, Failure> {
        check_parameters(exchange)?;
        let zone = surface.repository.zone();
        let count = count(surface, exchange)?;
        let mut used = match count {
            0 => "_summary=count".to_owned(),
            count => format!("_count={count}"),
        };
        let subset = match count {
            0 => None,
            _ => read::wanted(&exchange.query)?,
        };
        for name in ["_since", "_at", "_sort", "_summary", "_elements"] {
            let is_used = match name {
                "_sort" => is_oldest_first(exchange),
                "_summary" | "_elements" => subset.is_some(),
                _ => true,
            };
            if let Some(value) = last(exchange, name).filter(|_| is_used) {
                let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
                used.push_str(&format!("&{name}={value}"));
            }
        }
        Ok(Asked {
            count,
            place: place(exchange)?,
            period: Period {
                since_ms: period(exchange, "_since", zone)?.map(|(start, _)| start),
                at_ms: period(exchange, "_at", zone)?,
            },
            subset,
            used,
        })
    }
}

/// `_count=0` and `_summary=count` ask for the total alone.
fn count(surface: &Surface, exchange: &Exchange) -> Result<usize, Failure> {
    if last(exchange, "_summary") == Some("count") {
        return Ok(0);
    }
    let count = number(exchange, "_count")?;
    let count = count.map(|count| usize::try_from(count).unwrap_or(usize::MAX));
    Ok(count
        .unwrap_or(surface.page_size)
        .min(surface.page_size_max))
}

fn place(exchange: &Exchange) -> Result<LogPlace, Failure> {
    Ok(match is_oldest_first(exchange) {
        true => LogPlace::After {
            last: number(exchange, AFTER)?.unwrap_or(0),
            until: number(exchange, UNTIL)?,
        },
        false => LogPlace::Before(number(exchange, BEFORE)?),
    })
}

fn is_oldest_first(exchange: &Exchange) -> bool {
    last(exchange, "_sort") == Some("_lastUpdated")
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

/// Under strict handling, a parameter that has no effect is refused. Versions are in the order in
/// which they were made, newest or oldest first.
fn check_parameters(exchange: &Exchange) -> Result<(), Failure> {
    const ORDERS: [&str; 3] = ["-_lastUpdated", "_lastUpdated", "none"];
    let unknown = exchange.query.iter().find(|(name, value)| {
        let is_order = name == "_sort" && ORDERS.contains(&value.as_str());
        !KNOWN.contains(&name.as_str()) && !is_order
    });
    match unknown {
        Some(_) if preconditions::handling(&exchange.headers) == Handling::Strict => {
            let text = "history knows _count, _since, _at, _sort by _lastUpdated, _summary, \
                        _elements, _format and _pretty";
            let code = IssueCode::NotSupported;
            Err(Failure::new(Category::Incorrect, "E-HISTORY-2", code, text))
        }
        _ => Ok(()),
    }
}
