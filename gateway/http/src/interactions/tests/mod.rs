//! The interactions over a real store, without sockets.

mod brute;
mod bundles;
mod clients;
mod conditional;
mod findable;
mod histories;
mod hostile;
mod own_parameters;
mod paging;
mod patching;
mod reindexing;
mod resources;
mod searching;
mod strictness;
mod transactions;

use super::{Surface, run};
use crate::exchange::{Answer, Exchange};
use crate::route::{pairs, route};
use fhir_mapping::model::{Json, Limits, parse};
use gateway_ground::clock::Clock;
use gateway_ground::failure::Failure;
use gateway_repository::Actor;
use gateway_repository::fresh;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::sync::Arc;
use std::time::Duration;
use store::{Origin, OriginKind};
use tempfile::TempDir;

const BASE: &str = "http://127.0.0.1:8080/fhir";
const START_MS: i64 = 1_795_547_178_000;

/// A gateway's inside over a store of its own.
pub(super) struct Site {
    pub(super) surface: Surface,
    pub(super) clock: Clock,
    _folder: TempDir,
}

/// What came back: status and tree, for a failure its OperationOutcome.
pub(super) struct Reply {
    pub(super) status: u16,
    headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) text: String,
}

impl Site {
    pub(super) fn new() -> Site {
        let clock = Clock::driven(START_MS);
        let (repository, _folder) = fresh::repository(clock.clone());
        let surface = Surface {
            repository,
            page_size: 50,
            page_size_max: 1000,
            bundle_entries_max: 5000,
            conditional_delete_max: 1,
            lanes: Default::default(),
            door: Default::default(),
        };
        Site {
            surface,
            clock,
            _folder,
        }
    }

    /// `request` is `GET Patient/a?x=y`; headers are `Name: value`.
    pub(super) async fn ask(&self, request: &str, headers: &[&str], body: &str) -> Reply {
        match self.run(request, headers, body).await {
            Ok(answer) => Reply {
                status: answer.status,
                headers: answer.headers,
                text: String::from_utf8(answer.body).unwrap(),
            },
            Err(failure) => Reply {
                status: failure.category.status(),
                headers: Vec::new(),
                text: fhir_mapping::model::format(&failure.outcome()),
            },
        }
    }

    async fn run(&self, request: &str, headers: &[&str], body: &str) -> Result<Answer, Failure> {
        let (method, url) = request.split_once(' ').unwrap();
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let interaction =
            route(&method, &format!("/{path}")).map_err(|unrouted| unrouted.failure)?;
        let headers: HeaderMap = headers
            .iter()
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()))
            .collect();
        let exchange = Exchange {
            interaction,
            actor: Actor {
                name: "emr".to_owned(),
                origin: Origin {
                    kind: OriginKind::Client,
                    number: 0,
                },
            },
            query: pairs(query)?,
            headers,
            body: body.to_owned().into(),
            base_url: BASE.to_owned(),
        };
        run(&self.surface, exchange).await
    }

    /// One after the other; gives their statuses.
    async fn ask_all(&self, requests: &[&str]) -> Vec<u16> {
        let mut statuses = Vec::new();
        for request in requests {
            statuses.push(self.ask(request, &[], "").await.status);
        }
        statuses
    }

    /// The same request many times at once; statuses and ids, sorted.
    async fn race(self: &Arc<Site>, request: &'static str, body: &str) -> Vec<(u16, String)> {
        let mut asks = tokio::task::JoinSet::new();
        for _ in 0..64 {
            let (site, body) = (Arc::clone(self), body.to_owned());
            asks.spawn(async move {
                let reply = site.ask(request, &[], &body).await;
                let id = reply.tree().id().unwrap_or_default().to_owned();
                (reply.status, id)
            });
        }
        let mut replies = asks.join_all().await;
        replies.sort();
        replies
    }

    pub(super) async fn bundle(&self, kind: &str, entries: &[String]) -> Reply {
        let body = format!(
            r#"{{"resourceType":"Bundle","type":"{kind}","entry":[{}]}}"#,
            entries.join(",")
        );
        self.ask("POST ", &[], &body).await
    }

    /// Ids on a page, in order, and the query of its next link.
    pub(super) async fn page(&self, request: &str) -> (Vec<String>, Option<String>) {
        let tree = self.ask(request, &[], "").await.ok(200);
        let ids = tree.items("entry").iter();
        let ids = ids.map(|entry| entry.str_at(&["resource", "id"]).unwrap().to_owned());
        let next = tree
            .items("link")
            .iter()
            .find(|l| l.str_at(&["relation"]) == Some("next"));
        let next = next.map(|link| {
            link.str_at(&["url"])
                .unwrap()
                .replace(&format!("{BASE}/"), "GET ")
        });
        (ids.collect(), next)
    }

    pub(super) async fn pages(&self, request: &str) -> Vec<Vec<String>> {
        let (mut pages, mut next) = (Vec::new(), Some(request.to_owned()));
        while let Some(request) = next {
            let (ids, following) = self.page(&request).await;
            pages.push(ids);
            next = following;
        }
        pages
    }
}

impl Reply {
    #[track_caller]
    pub(super) fn ok(&self, status: u16) -> Json {
        assert_eq!(self.status, status, "{}", self.text);
        self.tree()
    }

    #[track_caller]
    pub(super) fn refused(&self, status: u16, number: &str, expression: &str) {
        assert_eq!(self.status, status, "{}", self.text);
        let tree = self.tree();
        assert!(self.text.contains(&format!("{number}: ")), "{}", self.text);
        let found = tree
            .at(&["issue", "expression"])
            .and_then(Json::as_str)
            .unwrap_or("");
        assert_eq!(found, expression, "{}", self.text);
    }

    fn tree(&self) -> Json {
        parse(self.text.as_bytes(), Limits::default()).unwrap_or(Json::Null)
    }

    pub(super) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(n, _)| n.as_str() == name);
        found.map_or("", |(_, value)| value.to_str().unwrap())
    }
}

pub(super) fn entry(method: &str, url: &str, more: &str, resource: &str) -> String {
    let resource = if resource.is_empty() {
        String::new()
    } else {
        format!(r#""resource":{resource},"#)
    };
    format!(r#"{{{resource}{more}"request":{{"method":"{method}","url":"{url}"}}}}"#)
}

fn entry_if_none_exist(criteria: &str, full_url: &str, resource: &str) -> String {
    format!(
        r#"{{"fullUrl":"{full_url}","resource":{resource},"request":{{"method":"POST","url":"Patient","ifNoneExist":"{criteria}"}}}}"#
    )
}

fn patient(number: &str) -> String {
    format!(
        r#"{{"resourceType":"Patient","identifier":[{{"system":"urn:mrn","value":"{number}"}}]}}"#
    )
}

fn observation(subject: &str, derived_from: &str) -> String {
    format!(
        r#"{{"resourceType":"Observation","status":"final","code":{{"coding":[{{"code":"x"}}]}},"subject":{{"reference":"{subject}"}},"derivedFrom":[{{"reference":"{derived_from}"}}],"valueQuantity":{{"value":1.00}}}}"#
    )
}
