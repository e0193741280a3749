//! Token parameters: codes, codings, concepts, identifiers, contact points, booleans.

use super::escape::{split, unescape};
use super::fold::fold;
use super::uri::is_version_within;
use crate::model::Json;
use crate::search::Code;
use crate::search::terms::Sink;
use std::collections::HashMap;

/// One code as a search sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::search) struct Token {
    pub(in crate::search) system: Option<String>,
    pub(in crate::search) code: Option<String>,
    /// The display or text, for `:text`.
    pub(in crate::search) text: Option<String>,
    /// The system comes from the element's binding, not from the resource.
    pub(in crate::search) implied: bool,
    /// System (empty for none) and code of each type that an identifier is said to be of.
    pub(in crate::search) types: Vec<(String, String)>,
}

/// What a request asks of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::search) enum TokenTest {
    /// `code`, in any system.
    Code(String),
    /// `system|code`
    Coded(String, String),
    /// `|code`: without system.
    Bare(String),
    /// `system|`
    System(String),
    /// `:text`, folded.
    Text(String),
    /// `:of-type`: system and code of the type, and the value.
    OfType(String, String, String),
    /// Codes and the systems that each may have; an empty text stands for any system.
    OneOf(HashMap<String, Vec<String>>),
    /// Compared without regard to case; its own texts are in lower case.
    Folded(Box<TokenTest>),
    /// The code is this version or one of it.
    VersionWithin(String),
}

/// ContactPoint.system is no code system: these seven codes tell the type apart from Identifier.
const CONTACT_SYSTEMS: [&str; 7] = ["phone", "fax", "email", "pager", "url", "sms", "other"];

/// Reads an element. `system` is what its binding implies for plain codes.
pub(in crate::search) fn collect(value: &Json, system: Option<&str>, found: &mut dyn FnMut(Token)) {
    let plain = |code: &str| Token {
        system: system.map(str::to_owned),
        code: Some(code.to_owned()),
        text: None,
        implied: true,
        types: Vec::new(),
    };
    match value {
        Json::String(code) => found(plain(code)),
        Json::Bool(true) => found(plain("true")),
        Json::Bool(false) => found(plain("false")),
        Json::Number(number) => found(plain(number)),
        Json::Object(object) => {
            let text = |key| object.get(key).and_then(Json::as_str).map(str::to_owned);
            if let Some(Json::Array(codings)) = object.get("coding") {
                codings
                    .iter()
                    .for_each(|coding| collect(coding, system, found));
            }
            let (code, shown) = match object.get("value") {
                Some(_) => (
                    text("value"),
                    value.str_at(&["type", "text"]).map(str::to_owned),
                ),
                None => (text("code"), text("display").or_else(|| text("text"))),
            };
            let system = text("system").filter(|s| !CONTACT_SYSTEMS.contains(&s.as_str()));
            if code.is_some() || shown.is_some() || system.is_some() {
                found(Token {
                    system,
                    code,
                    text: shown,
                    implied: false,
                    types: types_of(value),
                });
            }
        }
        Json::Null | Json::Array(_) => {}
    }
}

/// The codings of `Identifier.type`.
fn types_of(identifier: &Json) -> Vec<(String, String)> {
    let codings = identifier.get("type").map(|kind| kind.items("coding"));
    let text = |coding: &Json, key| coding.get(key).and_then(Json::as_str).map(str::to_owned);
    let coded = codings.unwrap_or_default().iter().filter_map(|coding| {
        let system = text(coding, "system").unwrap_or_default();
        Some((system, text(coding, "code")?))
    });
    coded.collect()
}

impl Token {
    /// The code alone: it selects nearly as well as system and code, and every further term costs
    /// each commit a page of its own. The evaluator tells the systems apart.
    pub(in crate::search) fn post(&self, sink: &mut Sink) {
        if let Some(code) = &self.code {
            sink.put('=', &[code]);
        }
    }
}

impl TokenTest {
    pub(in crate::search) fn parse(text: &str, by_text: bool) -> TokenTest {
        if by_text {
            return TokenTest::Text(fold(&unescape(text)));
        }
        let parts = split(text, '|');
        match parts.as_slice() {
            ["", code] => TokenTest::Bare(unescape(code)),
            [system, ""] => TokenTest::System(unescape(system)),
            [system, code] => TokenTest::Coded(unescape(system), unescape(code)),
            _ => TokenTest::Code(unescape(text)),
        }
    }

    /// `:of-type`; `None` unless all three parts are there.
    pub(in crate::search) fn of_type(text: &str) -> Option<TokenTest> {
        match split(text, '|').as_slice() {
            [system, code, value] if [system, code, value].iter().all(|p| !p.is_empty()) => Some(
                TokenTest::OfType(unescape(system), unescape(code), unescape(value)),
            ),
            _ => None,
        }
    }

    /// Without regard to case: of filters.
    pub(in crate::search) fn folded(text: &str) -> TokenTest {
        TokenTest::Folded(Box::new(TokenTest::parse(&text.to_lowercase(), false)))
    }

    /// A version that is this one or one of it.
    pub(in crate::search) fn version_within(text: &str) -> TokenTest {
        TokenTest::VersionWithin(unescape(text))
    }

    /// Any of these codes.
    pub(in crate::search) fn one_of(codes: Vec<Code>) -> TokenTest {
        let mut systems: HashMap<String, Vec<String>> = HashMap::new();
        for (system, code) in codes {
            systems
                .entry(code)
                .or_default()
                .push(system.unwrap_or_default());
        }
        TokenTest::OneOf(systems)
    }

    pub(in crate::search) fn matches(&self, token: &Token) -> bool {
        let is = |value: &Option<String>, asked: &str| value.as_deref() == Some(asked);
        match self {
            TokenTest::Code(code) => is(&token.code, code),
            TokenTest::Coded(system, code) => is(&token.code, code) && is(&token.system, system),
            TokenTest::Bare(code) => {
                is(&token.code, code) && (token.implied || token.system.is_none())
            }
            TokenTest::System(system) => is(&token.system, system),
            TokenTest::Text(asked) => {
                let shown = token.text.as_deref().map(fold);
                shown.is_some_and(|shown| starts_a_word(&shown, asked))
            }
            TokenTest::OfType(system, code, value) => {
                let is_of = |(s, c): &(String, String)| s == system && c == code;
                is(&token.code, value) && token.types.iter().any(is_of)
            }
            TokenTest::Folded(test) => {
                let lower = |text: &Option<String>| text.as_deref().map(str::to_lowercase);
                test.matches(&Token {
                    code: lower(&token.code),
                    system: lower(&token.system),
                    implied: token.implied,
                    ..Token::default()
                })
            }
            TokenTest::VersionWithin(upper) => {
                let code = token.code.as_deref();
                code.is_some_and(|version| is_version_within(version, upper))
            }
            TokenTest::OneOf(codes) => {
                let systems = token.code.as_ref().and_then(|code| codes.get(code));
                systems.is_some_and(|systems| {
                    systems.iter().any(|s| s.is_empty() || is(&token.system, s))
                })
            }
        }
    }

    /// Posts the one term that every match has, under this tag; false when there is none.
    pub(in crate::search) fn candidates(&self, tag: char, sink: &mut Sink) -> bool {
        match self {
            TokenTest::Code(code)
            | TokenTest::Bare(code)
            | TokenTest::Coded(_, code)
            | TokenTest::OfType(_, _, code) => {
                sink.put(tag, &[code]);
                true
            }
            TokenTest::OneOf(codes) => {
                codes.keys().for_each(|code| sink.put(tag, &[code]));
                true
            }
            // A code without letters is written in one way only.
            TokenTest::Folded(test) => {
                let code = match test.as_ref() {
                    TokenTest::Code(c) | TokenTest::Bare(c) | TokenTest::Coded(_, c) => c,
                    _ => return false,
                };
                code.to_uppercase() == *code && test.candidates(tag, sink)
            }
            TokenTest::System(_) | TokenTest::Text(_) | TokenTest::VersionWithin(_) => false,
        }
    }
}

/// Does the asked text begin at a word of the shown text?
fn starts_a_word(shown: &str, asked: &str) -> bool {
    shown
        .match_indices(asked)
        .any(|(at, _)| at == 0 || shown.get(..at).is_some_and(|before| before.ends_with(' ')))
}
