//! An electronic medical record that keeps its data in the gateway: it creates, changes, searches,
//! and lets an administrator decide conflicts, all over plain FHIR.

use crate::web::{Web, WebAnswer, text};
use http::Method;
use serde_json::{Value, json};

/// Most pages followed by one search.
const PAGES_MAX: usize = 1_000;

/// The client.
#[derive(Clone)]
pub struct Emr {
    pub web: Web,
}

/// A resource on the server: where, and which version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// `Type/id`.
    pub path: String,
    pub version: String,
}

impl Emr {
    pub fn new(base: &str, token: Option<String>) -> Emr {
        Emr {
            web: Web::new(base, token),
        }
    }

    /// POST; the server gives the id.
    pub async fn create(&self, resource: &Value) -> Result<Place, String> {
        let resource_type = text(resource, "/resourceType");
        let answer = self
            .web
            .send(Method::POST, resource_type, &[], Some(resource))
            .await?;
        let answer = answer.expect(&format!("create {resource_type}"), &[201])?;
        place(&answer)
    }

    pub async fn read(&self, path: &str) -> Result<Value, String> {
        let answer = self.web.get(path).await?;
        Ok(answer.expect(&format!("read {path}"), &[200])?.json)
    }

    /// PUT over the version last seen; somebody else's change since then is refused (412).
    pub async fn update(&self, resource: &Value, seen: &Place) -> Result<Place, String> {
        let if_match = format!("W/\"{}\"", seen.version);
        let headers = [("if-match", if_match.as_str())];
        let answer = self
            .web
            .send(Method::PUT, &seen.path, &headers, Some(resource))
            .await?;
        place(&answer.expect(&format!("update {}", seen.path), &[200, 201])?)
    }

    /// All matches, page after page.
    pub async fn search(&self, query: &str) -> Result<Vec<Value>, String> {
        let mut matches = Vec::new();
        let mut next = Some(query.to_owned());
        for _page in 0..PAGES_MAX {
            let Some(path) = next.take() else {
                return Ok(matches);
            };
            let answer = self.web.get(&path).await?;
            let bundle = answer.expect(&format!("search {query}"), &[200])?.json;
            let entries = bundle.get("entry").and_then(Value::as_array);
            for entry in entries.into_iter().flatten() {
                if text(entry, "/search/mode") != "outcome" {
                    matches.extend(entry.get("resource").cloned());
                }
            }
            let links = bundle.get("link").and_then(Value::as_array);
            let link = links
                .into_iter()
                .flatten()
                .find(|l| text(l, "/relation") == "next");
            next = link.map(|link| text(link, "/url").to_owned());
        }
        Err(format!("search {query}: more than {PAGES_MAX} pages"))
    }

    /// Posts a transaction; gives where each entry's resource is, in the entries' order.
    pub async fn transaction(&self, bundle: &Value) -> Result<Vec<String>, String> {
        let answer = self.web.send(Method::POST, "", &[], Some(bundle)).await?;
        let answer = answer.expect("transaction", &[200])?;
        let entries = answer.json.get("entry").and_then(Value::as_array);
        let entries = entries.ok_or("transaction: the answer has no entries")?;
        let mut paths = Vec::new();
        for entry in entries {
            let status = text(entry, "/response/status");
            if !status.starts_with('2') {
                return Err(format!("transaction: an entry was answered {status}"));
            }
            paths.push(path_of(text(entry, "/response/location"))?.path);
        }
        Ok(paths)
    }

    /// Every version of a resource, newest first.
    pub async fn history(&self, path: &str) -> Result<Vec<Value>, String> {
        self.search(&format!("{path}/_history")).await
    }

    /// Tasks of conflicts that wait for a person and concern this resource.
    pub async fn reviews_of(&self, path: &str) -> Result<Vec<Value>, String> {
        let tasks = self
            .search("Task?code=conflict-review&status=requested")
            .await?;
        let concerns = |task: &Value| text(task, "/focus/reference").starts_with(path);
        Ok(tasks.into_iter().filter(concerns).collect())
    }

    /// Decides a conflict: `choice` is `local` or `incoming`.
    pub async fn decide(&self, task: &Value, choice: &str, why: &str) -> Result<Value, String> {
        let parameters = json!({
            "resourceType": "Parameters",
            "parameter": [
                {"name": "choice", "valueCode": choice},
                {"name": "rationale", "valueString": why},
            ],
        });
        let path = format!("Task/{}/$resolve", text(task, "/id"));
        let if_match = format!("W/\"{}\"", text(task, "/meta/versionId"));
        let headers = [("if-match", if_match.as_str())];
        let answer = self
            .web
            .send(Method::POST, &path, &headers, Some(&parameters))
            .await?;
        Ok(answer.expect("$resolve", &[200])?.json)
    }
}

/// Where a written resource is, from its body or its Location.
fn place(answer: &WebAnswer) -> Result<Place, String> {
    let json = &answer.json;
    let (id, version) = (text(json, "/id"), text(json, "/meta/versionId"));
    if !id.is_empty() && !version.is_empty() {
        return Ok(Place {
            path: format!("{}/{id}", text(json, "/resourceType")),
            version: version.to_owned(),
        });
    }
    let location = answer.headers.get("location").and_then(|l| l.to_str().ok());
    path_of(location.unwrap_or_default())
}

/// `.../Patient/1/_history/2` -> `Patient/1`, `2`.
fn path_of(location: &str) -> Result<Place, String> {
    let unreadable = || format!("the location {location:?} names no version");
    let (path, version) = location.split_once("/_history/").ok_or_else(unreadable)?;
    let (rest, id) = path.rsplit_once('/').ok_or_else(unreadable)?;
    let resource_type = rest.rsplit('/').next().unwrap_or(rest);
    Ok(Place {
        path: format!("{resource_type}/{id}"),
        version: version.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_read_whole_and_relative() {
        let expected = Place {
            path: "Patient/1".to_owned(),
            version: "2".to_owned(),
        };
        for location in [
            "http://h:1/fhir/Patient/1/_history/2",
            "Patient/1/_history/2",
        ] {
            assert_eq!(path_of(location), Ok(expected.clone()), "{location}");
        }
        assert!(path_of("Patient/1").is_err());
        assert!(path_of("").is_err());
    }
}
