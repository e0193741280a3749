//! `_text` and `_content`: words in the narrative or in the whole resource (R4 3.1.1.3.2).
//!
//! No term is posted for words: each would cost every commit a page. The caller walks its other
//! candidates and shows their bodies here.

use super::kinds::fold::fold;
use crate::model::Json;
use std::collections::HashSet;

/// What is asked: alternatives of which one must hold, each of words that must all be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    is_narrative: bool,
    alternatives: Vec<Phrase>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Phrase {
    present: Vec<String>,
    absent: Vec<String>,
}

impl Words {
    /// `OR` separates alternatives, a leading `-` excludes a word, a trailing `*` asks for a word's
    /// beginning. `None` when no word is left after folding.
    pub(super) fn parse(text: &str, is_narrative: bool) -> Option<Words> {
        let mut alternatives = vec![Phrase::default()];
        for word in text.split(|c: char| c.is_whitespace() || c == ',') {
            let Some(last) = alternatives.last_mut() else {
                continue;
            };
            match (word, word.strip_prefix('-')) {
                ("OR" | "|", _) => alternatives.push(Phrase::default()),
                ("AND" | "&" | "", _) => {}
                (_, Some(excluded)) => last.absent.extend(folded_words(excluded)),
                (_, None) => last.present.extend(asked_words(word)),
            }
        }
        alternatives.retain(|phrase| !phrase.present.is_empty());
        (!alternatives.is_empty()).then_some(Words {
            is_narrative,
            alternatives,
        })
    }

    /// Does the resource hold the words?
    pub fn matches(&self, resource: &Json) -> bool {
        let mut found = HashSet::new();
        if self.is_narrative {
            let div = resource.at(&["text", "div"]).and_then(Json::as_str);
            gather(&without_tags(div.unwrap_or_default()), &mut found);
        } else {
            walk(resource, &mut found);
        }
        self.alternatives.iter().any(|phrase| phrase.holds(&found))
    }
}

impl Phrase {
    fn holds(&self, found: &HashSet<String>) -> bool {
        let is_there = |asked: &String| match asked.strip_suffix('*') {
            Some(start) => found.iter().any(|word| word.starts_with(start)),
            None => found.contains(asked),
        };
        self.present.iter().all(is_there) && !self.absent.iter().any(is_there)
    }
}

fn asked_words(word: &str) -> Vec<String> {
    let mut words: Vec<String> = folded_words(word).collect();
    if word.ends_with('*')
        && let Some(last) = words.last_mut()
    {
        last.push('*');
    }
    words
}

/// The words of a text, folded as strings are. Punctuation parts words.
fn folded_words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric() && !is_mark(c))
        .map(fold)
        .filter(|word| !word.is_empty())
}

/// Combining marks and apostrophes are inside of words.
fn is_mark(c: char) -> bool {
    matches!(c, '\'' | '\u{2019}' | '\u{300}'..='\u{36f}' | '\u{591}'..='\u{5c7}' | '\u{64b}'..='\u{65f}' | '\u{900}'..='\u{dff}')
}

fn gather(text: &str, found: &mut HashSet<String>) {
    found.extend(folded_words(text));
}

fn walk(value: &Json, found: &mut HashSet<String>) {
    match value {
        Json::String(text) => gather(text, found),
        Json::Number(text) => {
            found.insert(text.to_string());
        }
        Json::Array(items) => items.iter().for_each(|item| walk(item, found)),
        Json::Object(object) => {
            for (key, item) in object.iter() {
                match (key, item.as_str()) {
                    ("div", Some(text)) => gather(&without_tags(text), found),
                    _ => walk(item, found),
                }
            }
        }
        Json::Null | Json::Bool(_) => {}
    }
}

/// XHTML to its text: tags part words, the five entities of XML and `&nbsp;` are read.
fn without_tags(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    let mut in_tag = false;
    for c in html.chars() {
        match c {
            '<' => {
                in_tag = true;
                text.push(' ');
            }
            '>' => in_tag = false,
            c if !in_tag => text.push(c),
            _ => {}
        }
    }
    for (entity, plain) in [
        ("&nbsp;", " "),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&apos;", "'"),
        ("&amp;", "&"),
    ] {
        text = text.replace(entity, plain);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Limits, parse};

    #[test]
    fn words_of_narrative_and_content() {
        let resource = br#"{"resourceType":"Patient","id":"p","name":[{"family":"O'Brien-Smith"}],
          "text":{"status":"generated","div":"<div>Caf\u00e9<b>au</b>lait &amp; bread, 12 times</div>"}}"#;
        let resource = parse(resource, Limits::default()).unwrap();
        for (asked, narrative, content) in [
            ("cafe", true, true),
            ("CAF\u{c9} bread", true, true),
            ("caf", false, false),
            ("caf*", true, true),
            ("div", false, false),
            ("tea OR lait", true, true),
            ("lait -bread", false, false),
            ("lait -tea", true, true),
            ("obrien", false, true),
            ("smith bread", false, true),
            ("patient", false, true),
        ] {
            let of = |is_narrative| {
                Words::parse(asked, is_narrative)
                    .unwrap()
                    .matches(&resource)
            };
            assert_eq!((of(true), of(false)), (narrative, content), "{asked}");
        }
        assert_eq!(Words::parse(" - , ", true), None);
    }
}
