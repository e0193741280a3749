//! A `find`: a search whose pages together must hold exactly the wanted resources.

use crate::body::request;
use crate::expect;
use crate::needs::target_of_find;
use crate::wire::Reply;
use crate::world::World;
use serde_json::{Map, Value};

/// Pages followed at most: a server that never stops offering a next one fails.
const PAGES_MAX: usize = 100;

/// Runs the search; the first page, and what does not hold.
pub(crate) async fn find(
    world: &mut World,
    step: &Map<String, Value>,
    of_type: &str,
) -> Result<(Reply, Vec<String>), String> {
    let step = as_request(step, of_type, world);
    let sent = request(&step, &world.tag)?;
    let reply = world.send(&sent).await?;
    let mut failures = expect::failures(&step, &reply);
    if reply.status == 200 && wants_pages(&step) {
        failures.extend(pages(world, reply.clone(), &step).await?);
    }
    Ok((reply, failures))
}

fn wants_pages(step: &Map<String, Value>) -> bool {
    let members = ["ids", "ordered", "included", "total", "size"];
    members.iter().any(|member| step.contains_key(*member))
}

/// The step with `send`, kept to this world's own resources by their tag.
fn as_request(step: &Map<String, Value>, of_type: &str, world: &World) -> Map<String, Value> {
    let text = |key: &str| step.get(key).and_then(Value::as_str).unwrap_or_default();
    let mut target = target_of_find(text("find"), of_type);
    if step.get("scope") != Some(&Value::Bool(false)) {
        let tag = world.kept.get("tag").cloned().unwrap_or_default();
        let sign = if target.ends_with(['?', '&']) {
            ""
        } else {
            "&"
        };
        target.push_str(&format!("{sign}_tag={}", tag.replace('|', "%7C")));
    }
    let mut step = step.clone();
    match target.split_once('?').filter(|_| text("by") == "post") {
        Some((path, query)) => {
            let slash = if path.is_empty() { "" } else { "/" };
            step.insert("form".to_owned(), query.into());
            step.insert(
                "send".to_owned(),
                format!("POST {path}{slash}_search").into(),
            );
        }
        None => {
            step.insert("send".to_owned(), format!("GET {target}").into());
        }
    }
    step.entry("status").or_insert(200.into());
    step
}

/// Follows `next` to the end: no page above the size, none but a lone first one empty, each id
/// once, the same total on all.
async fn pages(
    world: &mut World,
    first: Reply,
    step: &Map<String, Value>,
) -> Result<Vec<String>, String> {
    let size = step.get("size").and_then(Value::as_u64).unwrap_or(u64::MAX);
    let mut failures = Vec::new();
    let (mut ids, mut included) = (Vec::new(), Vec::new());
    let total = first.json().get("total").cloned();
    let mut page = first;
    for number in 1.. {
        let found = page.ids("match");
        if found.is_empty() && number > 1 || u64::try_from(found.len()).is_ok_and(|n| n > size) {
            failures.push(format!("page {number} has {} matches", found.len()));
        }
        let told = page.json().get("total").cloned();
        if told.is_some() && told != total {
            failures.push(format!("page {number} tells another total"));
        }
        ids.extend(found);
        included.extend(page.ids("include"));
        let Some(next) = page.link("next") else { break };
        if number > PAGES_MAX {
            return Err("there is always a next page".to_owned());
        }
        let sent = crate::wire::Sent {
            method: "GET".to_owned(),
            target: next,
            headers: vec![("accept".to_owned(), "application/fhir+json".to_owned())],
            ..Default::default()
        };
        page = world.send(&sent).await?;
        if page.status != 200 {
            return Err(format!("page {} is answered {}", number + 1, page.status));
        }
    }
    failures.extend(compare(world, step, &ids, &included));
    if step
        .get("total")
        .is_some_and(|wanted| Some(wanted) != total.as_ref())
    {
        failures.push(format!("the total is {total:?}"));
    }
    Ok(failures)
}

fn compare(
    world: &World,
    step: &Map<String, Value>,
    ids: &[String],
    included: &[String],
) -> Vec<String> {
    let mut failures = Vec::new();
    for (member, found, is_ordered) in [
        ("ids", ids, false),
        ("ordered", ids, true),
        ("included", included, false),
    ] {
        let Some(wanted) = step.get(member) else {
            continue;
        };
        let (mut wanted, mut found) = (world.ids(wanted), found.to_vec());
        if !is_ordered {
            wanted.sort();
            found.sort();
        }
        if wanted != found {
            let (wanted, found) = (
                world.named(&wanted, is_ordered),
                world.named(&found, is_ordered),
            );
            failures.push(format!("{member}: wanted {wanted}, found {found}"));
        }
    }
    failures
}
