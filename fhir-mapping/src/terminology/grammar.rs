//! Code systems whose codes follow a grammar instead of being listed: media types, languages,
//! currencies, UCUM units.

/// Is this a code of that system? `None` when the system is no such one. Judged by form alone.
pub fn is_code(system: &str, code: &str) -> Option<bool> {
    match system {
        "urn:ietf:bcp:13" => Some(is_media_type(code)),
        "urn:ietf:bcp:47" => Some(is_language(code)),
        "urn:iso:std:iso:4217" => Some(code.len() == 3 && all(code, |b| b.is_ascii_uppercase())),
        "http://unitsofmeasure.org" => Some(is_unit(code)),
        _ => None,
    }
}

/// `type/subtype`, with parameters (RFC 6838).
fn is_media_type(code: &str) -> bool {
    let kind = code.split(';').next().unwrap_or_default().trim();
    let is_name = |name: &str| {
        let is_part = |b: u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b);
        !name.is_empty() && all(name, is_part)
    };
    kind.split_once('/')
        .is_some_and(|(kind, subtype)| is_name(kind) && is_name(subtype))
}

/// `de`, `pt-BR`, `zh-Hant-TW` (RFC 5646 2.1, by form).
fn is_language(code: &str) -> bool {
    let mut parts = code.split('-');
    let first = parts.next().unwrap_or_default();
    let is_first = (1..=8).contains(&first.len()) && all(first, |b| b.is_ascii_alphabetic());
    is_first
        && parts
            .all(|part| (1..=8).contains(&part.len()) && all(part, |b| b.is_ascii_alphanumeric()))
}

/// Visible characters of ASCII, brackets in pairs (UCUM 2.1, by form).
fn is_unit(code: &str) -> bool {
    let count = |c: char| code.chars().filter(|found| *found == c).count();
    let is_paired = |open, close| count(open) == count(close);
    !code.is_empty()
        && all(code, |b| b.is_ascii_graphic())
        && is_paired('(', ')')
        && is_paired('[', ']')
        && is_paired('{', '}')
}

fn all(text: &str, test: impl Fn(u8) -> bool) -> bool {
    text.bytes().all(test)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(system: &str, code: &str, expected: Option<bool>) {
        assert_eq!(is_code(system, code), expected, "{system} {code}");
    }

    #[test]
    fn codes_are_judged_by_form() {
        check("urn:ietf:bcp:13", "application/pdf", Some(true));
        check("urn:ietf:bcp:13", "text/plain; charset=UTF-8", Some(true));
        check("urn:ietf:bcp:13", "pdf", Some(false));
        check("urn:ietf:bcp:47", "zh-Hant-TW", Some(true));
        check("urn:ietf:bcp:47", "", Some(false));
        check("urn:iso:std:iso:4217", "KES", Some(true));
        check("urn:iso:std:iso:4217", "kes", Some(false));
        check("http://unitsofmeasure.org", "mg/dL", Some(true));
        check("http://unitsofmeasure.org", "mg / dL", Some(false));
        check("http://unitsofmeasure.org", "mm[Hg", Some(false));
        check("urn:other", "x", None);
    }
}
