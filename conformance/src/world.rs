//! What one theme has made on the server: ids by name, what to delete at the end, what was said.

use crate::body::{TAG_SYSTEM, put_tag, text_with_tag};
use crate::case::Given;
use crate::fill::{Kept, fill};
use crate::hook::Hook;
use crate::needs::type_of;
use crate::select::fits;
use crate::wire::socket::Socket;
use crate::wire::{Reply, Sent, Server};
use serde_json::Value;
use std::collections::BTreeMap;

/// One request and its answer, cut short for the report.
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    /// `GET Patient/1`
    pub request: String,
    /// Headers, a line each, without what tells who asks.
    pub headers: String,
    pub sent: String,
    pub status: u16,
    /// Headers of the answer, a line each.
    pub answer_headers: String,
    pub answer: String,
}

/// Most characters of a body that a report shows.
const SHOWN_MAX: usize = 2_000;

#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) hook: Option<Hook>,
    /// The web socket of this world, once a step used it.
    socket: Option<Socket>,
    pub(crate) kept: Kept,
    /// Names of what was given, by id.
    names: BTreeMap<String, String>,
    /// `Type/id` of everything that the server said it made.
    pub(crate) made: Vec<String>,
    pub(crate) said: Vec<Exchange>,
    /// Code of the tag that all resources of this world bear.
    pub(crate) tag: String,
}

impl World {
    pub(crate) fn new(server: &Server, hook: Option<&Hook>, run: &str) -> World {
        let mut kept = Kept::from([
            ("run".to_owned(), run.to_owned()),
            ("world".to_owned(), run.to_owned()),
            ("base".to_owned(), server.base.clone()),
            ("tag".to_owned(), format!("{TAG_SYSTEM}|{run}")),
        ]);
        if let Some(hook) = hook {
            kept.insert("hook".to_owned(), hook.base.clone());
        }
        World {
            server: server.clone(),
            hook: hook.cloned(),
            socket: None,
            kept,
            names: BTreeMap::new(),
            made: Vec::new(),
            said: Vec::new(),
            tag: run.to_owned(),
        }
    }

    /// The same with a `${run}` of its own: for a case that uses what the theme was given.
    pub(crate) fn of_case(&self, run: &str) -> World {
        let mut world = self.clone();
        world.kept.insert("run".to_owned(), run.to_owned());
        world.made.clear();
        world.socket = None;
        world
    }

    /// Creates what is given, in order; later ones may name the ids of earlier ones.
    pub(crate) async fn give(&mut self, given: &[Given]) -> Result<(), String> {
        for row in given {
            for number in 0..row.times.unwrap_or(1) {
                let name = match row.times {
                    Some(_) => format!("{}{number}", row.name),
                    None => row.name.clone(),
                };
                self.kept.insert("n".to_owned(), number.to_string());
                self.give_one(&name, &row.resource).await?;
            }
        }
        Ok(())
    }

    async fn give_one(&mut self, name: &str, resource: &Value) -> Result<(), String> {
        let mut filled = fill(resource, &self.kept);
        let of_type = type_of(&filled);
        let body = match &filled {
            Value::String(text) => text_with_tag(text, &self.tag),
            _ => {
                put_tag(&mut filled, &self.tag);
                filled.to_string()
            }
        };
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let sent = Sent {
            method: "POST".to_owned(),
            target: of_type.clone(),
            headers: vec![
                header("content-type", "application/fhir+json"),
                header("accept", "application/fhir+json"),
                header("prefer", "return=representation"),
            ],
            body: body.into(),
        };
        let reply = self.send(&sent).await?;
        let place = reply.header("location").split("/_history").next();
        let located = place.and_then(|place| place.rsplit('/').next());
        let id = reply
            .json()
            .get("id")
            .and_then(Value::as_str)
            .map(str::to_owned);
        let id = id.or(located.map(str::to_owned)).unwrap_or_default();
        if reply.status != 201 || id.is_empty() {
            return Err(format!("`{name}` could not be created: {}", reply.status));
        }
        self.names.insert(id.clone(), name.to_owned());
        self.kept.insert(name.to_owned(), id);
        Ok(())
    }

    /// Sends, and remembers what was said and made.
    pub(crate) async fn send(&mut self, sent: &Sent) -> Result<Reply, String> {
        let reply = self.server.send(sent).await?;
        self.remember(sent, &reply);
        Ok(reply)
    }

    /// Says and hears these lines on the world's web socket, in order: `> bind 1`, `< bound 1`;
    /// `! ping 2` was not heard so far.
    pub(crate) async fn converse(&mut self, lines: &Value) -> Result<(), String> {
        let socket = match &self.socket {
            Some(socket) => socket.clone(),
            None => Socket::open(&self.server).await?,
        };
        self.socket = Some(socket.clone());
        for line in lines.as_array().into_iter().flatten() {
            let line = line.as_str().unwrap_or_default();
            let answer = match line.split_once(' ') {
                Some(("<", pattern)) => socket.hear(pattern).await?,
                Some((">", words)) => socket.say(words).await.map(|()| String::new())?,
                Some(("!", pattern)) => socket.never(pattern).await.map(|()| String::new())?,
                _ => {
                    return Err(format!(
                        "`{line}` is not `> said`, `< heard` or `! not heard`"
                    ));
                }
            };
            self.said.push(Exchange {
                request: format!("WEBSOCKET {line}"),
                status: 101,
                answer,
                ..Exchange::default()
            });
        }
        Ok(())
    }

    pub(crate) fn remember(&mut self, sent: &Sent, reply: &Reply) {
        let headers = sent.headers.iter();
        let answered = reply.headers.iter();
        let answered = answered.map(|(n, v)| (n.as_str(), v.to_str().unwrap_or_default()));
        self.said.push(Exchange {
            request: format!("{} {}", sent.method, shorten(&sent.target)),
            headers: lines(headers.map(|(name, value)| (name.as_str(), value.as_str()))),
            sent: shorten(&String::from_utf8_lossy(&sent.body)),
            status: reply.status,
            answer_headers: lines(answered),
            answer: shorten(&reply.text()),
        });
        if ![200, 201].contains(&reply.status) || sent.method == "GET" {
            return;
        }
        let mut places = Vec::new();
        if reply.status == 201 {
            places.push(reply.header("location").to_owned());
        }
        let json = reply.json();
        let entries = json.get("entry").and_then(Value::as_array);
        for entry in entries.into_iter().flatten() {
            let status = entry.pointer("/response/status").and_then(Value::as_str);
            let place = entry.pointer("/response/location").and_then(Value::as_str);
            if status.is_some_and(|status| status.starts_with("201")) {
                places.extend(place.map(str::to_owned));
            }
        }
        self.made
            .extend(places.iter().filter_map(|place| key(place)));
    }

    /// Deletes what was made, last first; whether it works is no case's matter.
    pub(crate) async fn clean_up(&self) {
        for target in self.made.iter().rev() {
            let sent = Sent {
                method: "DELETE".to_owned(),
                target: target.clone(),
                ..Sent::default()
            };
            if self.server.send(&sent).await.is_err() {
                return;
            }
        }
    }

    /// Ids of these names; `p*` is every name that fits, anything else is an id itself.
    pub(crate) fn ids(&self, names: &Value) -> Vec<String> {
        let mut ids = Vec::new();
        for wanted in names.as_array().into_iter().flatten() {
            let wanted = wanted.as_str().unwrap_or_default();
            let known = self.names.iter().filter(|(_, name)| fits(wanted, name));
            let known: Vec<String> = known.map(|(id, _)| id.clone()).collect();
            if known.is_empty() {
                ids.push(wanted.to_owned());
            }
            ids.extend(known);
        }
        ids
    }

    /// For a person: names where there are any, else ids; sorted where their order means nothing.
    pub(crate) fn named(&self, ids: &[String], is_ordered: bool) -> String {
        let mut names: Vec<&str> = ids
            .iter()
            .map(|id| self.names.get(id).unwrap_or(id).as_str())
            .collect();
        if !is_ordered {
            names.sort_by_key(|name| (name.len(), *name));
        }
        format!("[{}]", names.join(", "))
    }
}

/// `Type/id` of a location like `http://host/fhir/Type/id/_history/1`.
fn key(place: &str) -> Option<String> {
    let place = place.split("/_history").next()?;
    let mut parts = place.rsplit('/');
    let (id, of_type) = (parts.next()?, parts.next()?);
    Some(format!("{of_type}/{id}"))
}

fn lines<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let lines = headers.map(|(name, value)| format!("{name}: {}\n", shorten(value)));
    lines.collect()
}

fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(SHOWN_MAX).collect();
    if short.len() < text.len() {
        short.push_str(" ...");
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_locations() {
        for (place, expected) in [
            ("http://h/fhir/Patient/1/_history/2", Some("Patient/1")),
            ("Patient/1", Some("Patient/1")),
            ("x", None),
        ] {
            assert_eq!(key(place).as_deref(), expected);
        }
    }
}
