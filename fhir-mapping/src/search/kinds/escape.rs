//! Escapes in parameter values (R4 3.1.1.4.1.1): `\,` `\|` `\$` `\\`.

/// Splits at a delimiter that is not escaped; the parts keep their escapes.
pub(in crate::search) fn split(text: &str, delimiter: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, c) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == delimiter {
            parts.extend(text.get(start..at));
            start = at + c.len_utf8();
        }
    }
    parts.extend(text.get(start..));
    parts
}

/// Takes the escapes away.
pub(in crate::search) fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => plain.extend(chars.next().or(Some('\\'))),
            _ => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitting() {
        assert_eq!(split(r"a,b\,c,", ','), ["a", r"b\,c", ""]);
        assert_eq!(split(r"s|a\|b", '|'), ["s", r"a\|b"]);
        assert_eq!(split(r"a\\,b", ','), [r"a\\", "b"]);
        assert_eq!(unescape(r"a\,b\|c\$d\\e\"), r"a,b|c$d\e\");
    }
}
