//! Reference parameters: references between resources, logical identifiers and canonical URLs.

use super::escape::unescape;
use super::token::{Token, TokenTest};
use super::uri::is_version_within;
use crate::model::{Json, Reference, is_valid_id};
use crate::search::terms::Sink;

/// One reference as a search sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::search) struct Link {
    /// `Type/id` without version, an absolute or canonical URL, or a urn.
    pub(in crate::search) target: Option<String>,
    pub(in crate::search) identifier: Option<Token>,
}

/// What a request asks of a reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::search) enum ReferenceTest {
    /// One of these `Type/id`.
    Local(Vec<String>),
    /// This id, of any type; or the very text, which a canonical may be.
    Id(String),
    /// An absolute URL; a canonical one matches in every version unless one is asked.
    Url(String),
    /// `:below`, or else `:above`, of a canonical: its url, and the version if one is asked.
    Canonical(String, Option<String>, Relation),
    /// `:identifier`
    Identifier(TokenTest),
}

/// How the version of a canonical stands to the asked one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::search) enum Relation {
    Below,
    Above,
}

/// Above this many possible target types, a bare id is posted as a term of its own.
const TARGETS_MAX: usize = 8;

pub(in crate::search) fn collect(value: &Json, found: &mut dyn FnMut(Link)) {
    let target = |text: &str| Link {
        target: Some(normal(text)),
        identifier: None,
    };
    if let Some(text) = value.as_str() {
        return found(target(text));
    }
    if let (Some(resource_type), Some(id)) = (value.resource_type(), value.id()) {
        return found(target(&format!("{resource_type}/{id}")));
    }
    let Some(object) = value.as_object() else {
        return;
    };
    let mut link = Link::default();
    if let Some(text) = object.get("reference").and_then(Json::as_str) {
        link.target = Some(normal(text));
    }
    if let Some(identifier) = object.get("identifier") {
        let text = |key| {
            identifier
                .get(key)
                .and_then(Json::as_str)
                .map(str::to_owned)
        };
        link.identifier = text("value").map(|code| Token {
            system: text("system"),
            code: Some(code),
            ..Token::default()
        });
    }
    found(link);
}

/// The text of a reference without a fixed version.
fn normal(text: &str) -> String {
    match Reference::parse(text) {
        Reference::Literal {
            version: Some(_), ..
        } => text
            .split_once("/_history/")
            .map_or(text, |(head, _)| head)
            .to_owned(),
        _ => text.to_owned(),
    }
}

impl Link {
    /// `Type` and `id` of a reference within this server.
    pub(in crate::search) fn local(&self) -> Option<(&str, &str)> {
        match Reference::parse(self.target.as_deref()?) {
            Reference::Literal {
                base: None,
                resource_type,
                id,
                ..
            } => Some((resource_type, id)),
            _ => None,
        }
    }

    pub(in crate::search) fn post(&self, targets: &[&str], sink: &mut Sink) {
        if let Some(target) = &self.target {
            let url = target
                .split_once('|')
                .map_or(target.as_str(), |(url, _)| url);
            sink.put('=', &[url]);
            if is_wide(targets)
                && let Some((_, id)) = self.local()
            {
                sink.put('/', &[id]);
            }
        }
        if let Some(code) = self.identifier.as_ref().and_then(|i| i.code.as_ref()) {
            sink.put('#', &[code]);
        }
    }
}

/// `Type` and `id` of an asked reference; a bare id is of the one type there can be.
pub(in crate::search) fn place(text: &str, targets: &[&str]) -> Option<(String, String)> {
    if is_valid_id(text) {
        let [only] = targets else { return None };
        return Some(((*only).to_owned(), text.to_owned()));
    }
    match Reference::parse(text) {
        Reference::Literal {
            resource_type, id, ..
        } => Some((resource_type.to_owned(), id.to_owned())),
        _ => None,
    }
}

fn is_wide(targets: &[&str]) -> bool {
    targets.is_empty() || targets.len() > TARGETS_MAX
}

impl Relation {
    /// `None`: no version is named, which stands above all versions.
    fn holds(self, version: Option<&str>, asked: Option<&str>) -> bool {
        let (lower, upper) = match self {
            Relation::Below => (version, asked),
            Relation::Above => (asked, version),
        };
        match (lower, upper) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(lower), Some(upper)) => is_version_within(lower, upper),
        }
    }
}

impl ReferenceTest {
    /// `resource_type` is that of a `:Type` modifier. `None` when the value contradicts it.
    pub(in crate::search) fn parse(
        text: &str,
        resource_type: Option<&str>,
        targets: &[&str],
    ) -> Option<ReferenceTest> {
        let text = unescape(text);
        if is_valid_id(&text) {
            return Some(match resource_type {
                Some(resource_type) => {
                    ReferenceTest::Local(vec![format!("{resource_type}/{text}")])
                }
                None if is_wide(targets) => ReferenceTest::Id(text),
                None => {
                    let places = targets.iter().map(|t| format!("{t}/{text}"));
                    ReferenceTest::Local(places.chain([text.clone()]).collect())
                }
            });
        }
        let text = normal(&text);
        match Reference::parse(&text) {
            Reference::Literal {
                resource_type: found,
                ..
            } if resource_type.is_some_and(|asked| asked != found) => None,
            Reference::Literal { base: None, .. } => Some(ReferenceTest::Local(vec![text])),
            _ => Some(ReferenceTest::Url(text)),
        }
    }

    /// `url` or `url|version` (R4 3.1.1.4.13).
    pub(in crate::search) fn of_canonical(text: &str, is_below: bool) -> ReferenceTest {
        let text = unescape(text);
        let (url, version) = match text.split_once('|') {
            Some((url, version)) => (url.to_owned(), Some(version.to_owned())),
            None => (text, None),
        };
        let relation = match is_below {
            true => Relation::Below,
            false => Relation::Above,
        };
        ReferenceTest::Canonical(url, version, relation)
    }

    pub(in crate::search) fn of_identifier(text: &str) -> ReferenceTest {
        ReferenceTest::Identifier(TokenTest::parse(text, false))
    }

    /// An absolute URL below `base` (without slash at its end) becomes local.
    pub(in crate::search) fn localize(&mut self, base: &str) {
        if let ReferenceTest::Url(url) = self
            && let Some(rest) = url.strip_prefix(base).and_then(|r| r.strip_prefix('/'))
            && matches!(
                Reference::parse(rest),
                Reference::Literal { base: None, .. }
            )
        {
            *self = ReferenceTest::Local(vec![rest.to_owned()]);
        }
    }

    pub(in crate::search) fn matches(&self, link: &Link) -> bool {
        let target = link.target.as_deref();
        match self {
            ReferenceTest::Local(wanted) => {
                target.is_some_and(|t| wanted.iter().any(|asked| asked == t))
            }
            ReferenceTest::Id(id) => {
                target == Some(id) || link.local().is_some_and(|(_, found)| found == id)
            }
            ReferenceTest::Url(url) => target.is_some_and(|t| {
                t == url || t.split_once('|').is_some_and(|(bare, _)| bare == url)
            }),
            ReferenceTest::Canonical(url, version, relation) => target.is_some_and(|target| {
                let (found, its) = match target.split_once('|') {
                    Some((found, its)) => (found, Some(its)),
                    None => (target, None),
                };
                found == url && relation.holds(its, version.as_deref())
            }),
            ReferenceTest::Identifier(test) => {
                link.identifier.as_ref().is_some_and(|i| test.matches(i))
            }
        }
    }

    /// Posts terms of which every match has one; false when there is none.
    pub(in crate::search) fn candidates(&self, sink: &mut Sink) -> bool {
        match self {
            ReferenceTest::Local(wanted) => wanted.iter().for_each(|t| sink.put('=', &[t])),
            ReferenceTest::Id(id) => {
                sink.put('/', &[id]);
                sink.put('=', &[id]);
            }
            ReferenceTest::Url(url) => {
                let bare = url.split_once('|').map_or(url.as_str(), |(bare, _)| bare);
                sink.put('=', &[bare]);
            }
            ReferenceTest::Canonical(url, ..) => sink.put('=', &[url]),
            ReferenceTest::Identifier(test) => return test.candidates('#', sink),
        }
        true
    }
}
