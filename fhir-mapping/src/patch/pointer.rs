//! JSON Pointers (RFC 6901): `/name/0/given`, with `~1` for a slash and `~0` for a tilde.

use crate::model::Json;

/// A pointer, split and unescaped.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pointer {
    pub(super) tokens: Vec<String>,
}

impl Pointer {
    /// `None` when the text is no pointer.
    pub(super) fn parse(text: &str) -> Option<Pointer> {
        let mut parts = text.split('/');
        if parts.next() != Some("") {
            return None;
        }
        let tokens = parts.map(unescaped).collect::<Option<_>>()?;
        Some(Pointer { tokens })
    }

    pub(super) fn is_root(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Is `other` below this?
    pub(super) fn is_above(&self, other: &Pointer) -> bool {
        other.tokens.len() > self.tokens.len() && other.tokens.starts_with(&self.tokens)
    }

    pub(super) fn get<'a>(&self, root: &'a Json) -> Option<&'a Json> {
        self.tokens.iter().try_fold(root, |node, token| match node {
            Json::Object(object) => object.get(token),
            Json::Array(items) => items.get(index(token)?),
            _ => None,
        })
    }

    /// The value that holds the last token's place, and that token.
    pub(super) fn parent_mut<'a>(&self, root: &'a mut Json) -> Option<(&'a mut Json, &str)> {
        let (last, parents) = self.tokens.split_last()?;
        let parent = parents.iter().try_fold(root, |node, token| match node {
            Json::Object(object) => object.get_mut(token),
            Json::Array(items) => items.get_mut(index(token)?),
            _ => None,
        })?;
        Some((parent, last))
    }

    /// The last token that is no place in a list.
    pub(super) fn member_name(&self) -> &str {
        let is_name = |token: &&String| *token != "-" && index(token).is_none();
        self.tokens
            .iter()
            .rev()
            .find(is_name)
            .map_or("", String::as_str)
    }
}

/// A place in a list: digits without leading zeros.
pub(super) fn index(token: &str) -> Option<usize> {
    let is_plain = token == "0" || !token.starts_with('0');
    let is_digits = !token.is_empty() && token.bytes().all(|b| b.is_ascii_digit());
    (is_plain && is_digits).then(|| token.parse().ok())?
}

fn unescaped(token: &str) -> Option<String> {
    let mut out = String::with_capacity(token.len());
    let mut parts = token.split('~');
    out.push_str(parts.next()?);
    for part in parts {
        let (escaped, rest) = match part.strip_prefix('0') {
            Some(rest) => ('~', rest),
            None => ('/', part.strip_prefix('1')?),
        };
        out.push(escaped);
        out.push_str(rest);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_read_as_the_rfc_has_them() {
        let tokens = |text: &str| Pointer::parse(text).map(|pointer| pointer.tokens.join("|"));
        for (text, expected) in [
            ("", Some("")),
            ("/", Some("")),
            ("/foo/0", Some("foo|0")),
            ("/a~1b/m~0n", Some("a/b|m~n")),
            ("/~01", Some("~1")),
            ("/ /k\"l", Some(" |k\"l")),
            ("foo", None),
            ("/~2", None),
            ("/~", None),
        ] {
            assert_eq!(tokens(text).as_deref(), expected, "{text}");
        }
        let indexes = ["0", "10", "01", "-1", "1e0", "-", ""].map(index);
        assert_eq!(indexes, [Some(0), Some(10), None, None, None, None, None]);
    }
}
