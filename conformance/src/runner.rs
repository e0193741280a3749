//! Runs cases against a server, each with a `${run}` of its own so that none sees another's data.

use crate::case::{Case, Kept};
use crate::expect;
use crate::wire::{Reply, Sent, Server};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher};

/// What became of one case.
#[derive(Clone, Debug)]
pub struct Verdict {
    pub case: String,
    pub proves: Vec<String>,
    /// Empty when the case holds.
    pub failures: Vec<String>,
}

/// Pages followed at most: a server that never stops offering a next one fails.
const PAGES_MAX: usize = 200;

/// Runs every case against the server at `base` (`http://host:port/fhir`), one after the other.
pub async fn run(base: &str, token: Option<&str>, cases: &[Case]) -> Vec<Verdict> {
    let server = Server {
        base: base.trim_end_matches('/').to_owned(),
        token: token.map(str::to_owned),
    };
    let site = std::collections::hash_map::RandomState::new();
    let site = site.build_hasher().finish();
    let mut verdicts = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let run = format!("{site:x}-{number}");
        verdicts.push(Verdict {
            case: case.name.clone(),
            proves: case.proves.clone(),
            failures: run_case(&server, case, run).await,
        });
    }
    verdicts
}

/// The CapabilityStatement of the server at `base`.
pub async fn metadata(base: &str, token: Option<&str>) -> Result<Value, String> {
    let server = Server {
        base: base.trim_end_matches('/').to_owned(),
        token: token.map(str::to_owned),
    };
    Ok(server.send(&get("metadata")).await?.json())
}

async fn run_case(server: &Server, case: &Case, run: String) -> Vec<String> {
    let mut kept = Kept::from([
        ("run".to_owned(), run),
        ("base".to_owned(), server.base.clone()),
    ]);
    let mut failures = Vec::new();
    for (number, step) in case.steps.iter().enumerate() {
        let step = step.fill(&kept);
        let shown = step.get("send").and_then(Value::as_str).unwrap_or_default();
        let found = match run_step(server, &step, &mut kept).await {
            Ok(found) => found,
            Err(failure) => vec![failure],
        };
        let place = format!("step {} ({shown})", number + 1);
        failures.extend(found.into_iter().map(|f| format!("{place}: {f}")));
    }
    failures
}

async fn run_step(
    server: &Server,
    step: &Map<String, Value>,
    kept: &mut Kept,
) -> Result<Vec<String>, String> {
    let sent = request(step)?;
    if let Some(count) = step.get("parallel").and_then(Value::as_u64) {
        let wanted = step.get("statuses").cloned().unwrap_or_default();
        return parallel(server, &sent, count, &wanted).await;
    }
    let reply = server.send(&sent).await?;
    let mut failures = expect::failures(step, &reply);
    if let Some(wanted) = step.get("pages") {
        failures.extend(pages(server, reply.clone(), wanted).await?);
    }
    expect::keep(step, &reply, kept);
    Ok(failures)
}

fn request(step: &Map<String, Value>) -> Result<Sent, String> {
    let send = step.get("send").and_then(Value::as_str).unwrap_or_default();
    let (method, target) = send.split_once(' ').unwrap_or((send, ""));
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let pairs = step.get("headers").and_then(Value::as_object);
    let mut headers: Vec<(String, String)> = pairs
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.clone(), text(value)?)))
        .collect();
    let body = match (step.get("body"), step.get("text"), step.get("repeat")) {
        (Some(json), _, _) => json.to_string(),
        (_, Some(plain), _) => text(plain).ok_or("`text` must be a text")?,
        (_, _, Some(repeat)) => repeated(repeat).ok_or("`repeat` is [text, times, text...]")?,
        _ => String::new(),
    };
    let is_typed = headers.iter().any(|(name, _)| name == "content-type");
    if !body.is_empty() && !is_typed {
        headers.push((
            "content-type".to_owned(),
            "application/fhir+json".to_owned(),
        ));
    }
    Ok(Sent {
        method: method.to_owned(),
        target: target.to_owned(),
        headers,
        body: body.into(),
    })
}

/// `["[", 100000, "]", 100000]`: each text so many times.
fn repeated(repeat: &Value) -> Option<String> {
    let mut body = String::new();
    for pair in repeat.as_array()?.chunks(2) {
        let [text, times] = pair else { return None };
        body.push_str(
            &text
                .as_str()?
                .repeat(usize::try_from(times.as_u64()?).ok()?),
        );
    }
    Some(body)
}

/// Sends one request many times at once; the statuses must come up as often as wanted.
async fn parallel(
    server: &Server,
    sent: &Sent,
    count: u64,
    wanted: &Value,
) -> Result<Vec<String>, String> {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..count {
        let (server, sent) = (server.clone(), sent.clone());
        tasks.spawn(async move { server.send(&sent).await });
    }
    let mut found: BTreeMap<String, u64> = BTreeMap::new();
    for reply in tasks.join_all().await {
        *found.entry(reply?.status.to_string()).or_default() += 1;
    }
    let found: Value = found
        .into_iter()
        .map(|(k, v)| (k, v.into()))
        .collect::<Map<_, _>>()
        .into();
    Ok((found != *wanted)
        .then(|| format!("wanted {wanted}, found {found}"))
        .into_iter()
        .collect())
}

/// Follows `next` to the end: no page above the size, none empty, each id exactly once, the same
/// total on all, and the ids in this order when they are `ordered`.
async fn pages(server: &Server, first: Reply, wanted: &Value) -> Result<Vec<String>, String> {
    let size = wanted
        .get("size")
        .and_then(Value::as_u64)
        .unwrap_or(u64::MAX);
    let mut failures = Vec::new();
    let mut ids = Vec::new();
    let total = first.json().get("total").cloned();
    let mut page = first;
    for number in 1.. {
        let found = page.match_ids();
        if found.is_empty() || u64::try_from(found.len()).is_ok_and(|n| n > size) {
            failures.push(format!("page {number} has {} matches", found.len()));
        }
        if page.json().get("total").cloned() != total {
            failures.push(format!("page {number} tells another total"));
        }
        ids.extend(found);
        let Some(next) = page.link("next") else { break };
        if number > PAGES_MAX {
            return Err("there is always a next page".to_owned());
        }
        page = server.send(&get(&next)).await?;
        if page.status != 200 {
            return Err(format!("page {} is answered {}", number + 1, page.status));
        }
    }
    if wanted.get("ordered") != Some(&Value::Bool(true)) {
        ids.sort();
    }
    let ids: Value = ids.into();
    if wanted.get("ids").is_some_and(|wanted| *wanted != ids) {
        failures.push(format!("the pages hold {ids}"));
    }
    Ok(failures)
}

fn get(target: &str) -> Sent {
    Sent {
        method: "GET".to_owned(),
        target: target.to_owned(),
        headers: Vec::new(),
        body: bytes::Bytes::new(),
    }
}
