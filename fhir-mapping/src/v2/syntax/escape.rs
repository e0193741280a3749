//! Escape sequences inside field text (HL7 v2.5.1, chapter 2.7).

use super::segments::Syntax;

/// An escape longer than this is none: the sender forgot to escape a backslash.
const ESCAPE_LENGTH_MAX: usize = 256;

/// Text as a person reads it: delimiters and bytes restored, formatting turned into line breaks,
/// highlighting dropped. What HL7 leaves to the site (`\Z..\`, `\C..\`, `\M..\`) stays as sent.
pub(in crate::v2) fn unescape(text: &str, syntax: &Syntax) -> String {
    let Some(mark) = syntax.escape else {
        return text.to_owned();
    };
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(mark) {
        out.push_str(before);
        let sequence = after.split_once(mark);
        let sequence = sequence.filter(|(inside, _)| inside.len() <= ESCAPE_LENGTH_MAX);
        let known = sequence.and_then(|(inside, tail)| Some((meaning(inside, syntax)?, tail)));
        match known {
            Some((meaning, tail)) => {
                out.push_str(&meaning);
                rest = tail;
            }
            None => {
                out.push(mark);
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

fn meaning(inside: &str, syntax: &Syntax) -> Option<String> {
    let single = |c: char| Some(c.to_string());
    match inside {
        "F" => single(syntax.field),
        "S" => single(syntax.component),
        "R" => single(syntax.repetition),
        "T" => single(syntax.subcomponent.unwrap_or('&')),
        "E" => syntax.escape.and_then(single),
        "P" => single('#'),
        "H" | "N" | ".fi" | ".nf" => Some(String::new()),
        ".br" | ".ce" => single('\n'),
        _ => formatted(inside).or_else(|| hexadecimal(inside, syntax)),
    }
}

/// `.sp3`, `.sk4`, `.in+2`, `.ti-2`.
fn formatted(inside: &str) -> Option<String> {
    let command = inside.get(..3)?;
    let number = inside.get(3..)?.trim().trim_start_matches(['+', '-']);
    let count = if number.is_empty() {
        1
    } else {
        number.parse::<usize>().ok()?.min(100)
    };
    match command {
        ".sp" => Some("\n".repeat(count)),
        ".sk" => Some(" ".repeat(count)),
        ".in" | ".ti" => Some(String::new()),
        _ => None,
    }
}

/// `X0D0A`: bytes in the message's character set.
fn hexadecimal(inside: &str, syntax: &Syntax) -> Option<String> {
    let digits = inside.strip_prefix('X')?.as_bytes();
    if digits.is_empty() || !digits.len().is_multiple_of(2) {
        return None;
    }
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Vec<u8> = digits.chunks(2).map(byte).collect::<Option<_>>()?;
    let (text, _) = syntax.encoding.decode_without_bom_handling(&bytes);
    Some(text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(unescape(text, &Syntax::default()), expected, "{text}");
    }

    #[test]
    fn restores_what_was_escaped() {
        check(r"plain", "plain");
        check(r"a\F\b\S\c\T\d\R\e\E\f", r"a|b^c&d~e\f");
        check(r"one\.br\two\.br\\.br\three", "one\ntwo\n\nthree");
        check(r"\.sp2\x\.sk3\y\.in+4\z\.ti-2\", "\n\nx   yz");
        check(r"\H\bold\N\ plain", "bold plain");
        check(r"\X0D\\XC3A9\", "\ré");
        check(r"\P\", "#");
    }

    #[test]
    fn keeps_what_it_does_not_know() {
        check(r"\Z12\", r"\Z12\");
        check(r"\C2842\", r"\C2842\");
        check(r"C:\data", r"C:\data");
        check(r"C:\data\F\x", r"C:\data|x");
        check(r"\X0\", r"\X0\");
        check(r"\Xzz\", r"\Xzz\");
        check(r"ends\", r"ends\");
    }
}
