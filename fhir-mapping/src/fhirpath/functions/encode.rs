//! Encodings and escapes (FHIRPath's additional string functions).

use super::super::Stop;
use super::super::evaluate::{Items, Run};
use super::super::item::Item;
use super::{Arguments, Call, text};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fhirpath) enum Name {
    Encode,
    Decode,
    Escape,
    Unescape,
}

pub(in crate::fhirpath) const NAMES: [(&str, Name, Arguments); 4] = [
    ("encode", Name::Encode, Arguments::ONE),
    ("decode", Name::Decode, Arguments::ONE),
    ("escape", Name::Escape, Arguments::ONE),
    ("unescape", Name::Unescape, Arguments::ONE),
];

/// Empty for a form that is not known, and for a text that is not of it.
pub(in crate::fhirpath) fn call<'a>(
    run: &mut Run<'a, '_>,
    name: Name,
    input: Items<'a>,
    call: Call<'a, '_>,
) -> Result<Items<'a>, Stop> {
    let (subject, form) = (text(&input, "an encoding")?, call.text(run, 0)?);
    let (Some(subject), Some(form)) = (subject, form) else {
        return Ok(Vec::new());
    };
    run.budget.spend(subject.len() / 16)?;
    let result = match (name, &*form) {
        (Name::Encode, "base64") => Some(STANDARD.encode(subject.as_bytes())),
        (Name::Encode, "urlbase64") => Some(URL_SAFE.encode(subject.as_bytes())),
        (Name::Encode, "hex") => Some(subject.bytes().map(|b| format!("{b:02x}")).collect()),
        (Name::Decode, "base64") => read(STANDARD.decode(subject.as_bytes()).ok()),
        (Name::Decode, "urlbase64") => read(URL_SAFE.decode(subject.as_bytes()).ok()),
        (Name::Decode, "hex") => read(from_hex(&subject)),
        (Name::Escape, "html") => Some(replaced(&subject, &HTML, |(plain, _)| plain)),
        (Name::Escape, "json") => Some(replaced(&subject, &JSON, |(plain, _)| plain)),
        (Name::Unescape, "html") => Some(replaced(&subject, &HTML, |(_, escape)| escape)),
        (Name::Unescape, "json") => Some(replaced(&subject, &JSON, |(_, escape)| escape)),
        _ => None,
    };
    Ok(result.map(Item::text).into_iter().collect())
}

fn read(bytes: Option<Vec<u8>>) -> Option<String> {
    String::from_utf8(bytes?).ok()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let bytes = text.as_bytes().chunks(2).map(|pair| match pair {
        [_, _] => u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok(),
        _ => None,
    });
    bytes.collect()
}

type Pair = (&'static str, &'static str);

const HTML: [Pair; 5] = [
    ("&", "&amp;"),
    ("<", "&lt;"),
    (">", "&gt;"),
    ("\"", "&quot;"),
    ("'", "&#39;"),
];

const JSON: [Pair; 7] = [
    ("\\", "\\\\"),
    ("\"", "\\\""),
    ("\n", "\\n"),
    ("\r", "\\r"),
    ("\t", "\\t"),
    ("\u{8}", "\\b"),
    ("\u{c}", "\\f"),
];

/// One walk from the left: what was put in is not looked at again.
fn replaced(text: &str, pairs: &[Pair], from: fn(Pair) -> &'static str) -> String {
    let mut done = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let found = pairs.iter().find(|pair| rest.starts_with(from(**pair)));
        let taken = match found {
            Some(pair) => {
                let (plain, escape) = *pair;
                let is_plain = from(*pair) == plain;
                done.push_str(if is_plain { escape } else { plain });
                from(*pair).len()
            }
            None => {
                done.push(next);
                next.len_utf8()
            }
        };
        rest = rest.get(taken..).unwrap_or_default();
    }
    done
}
