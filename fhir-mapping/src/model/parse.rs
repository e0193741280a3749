//! Text to tree, bounded: depth and length have limits, duplicate keys are refused (RFC 8259 leaves
//! their meaning open, and two doses under one key must not become one).

use super::{Issue, IssueCode, Json, Object};

/// What a body may be at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub depth_max: usize,
    pub number_length_max: usize,
}

impl Default for Limits {
    /// R4's deepest official example nests 34 levels; a decimal of 64 digits is beyond any unit.
    fn default() -> Limits {
        Limits {
            depth_max: 96,
            number_length_max: 64,
        }
    }
}

/// Parses one JSON text. The issue's text gives the byte offset.
pub fn parse(bytes: &[u8], limits: Limits) -> Result<Json, Issue> {
    let text = std::str::from_utf8(bytes).map_err(|e| {
        fault(
            "E-JSON-1",
            &std::format!("the body is not UTF-8 at byte {}", e.valid_up_to()),
        )
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut parser = Parser {
        text,
        at: 0,
        limits,
    };
    parser.skip_space();
    let value = parser.value(0)?;
    parser.skip_space();
    match parser.peek() {
        None => Ok(value),
        Some(_) => Err(parser.unexpected("the end of the text")),
    }
}

fn fault(number: &'static str, text: &str) -> Issue {
    Issue::error(number, IssueCode::Structure, "", text)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    limits: Limits,
}

impl<'a> Parser<'a> {
    fn value(&mut self, depth: usize) -> Result<Json, Issue> {
        if depth > self.limits.depth_max {
            let text = std::format!("nested deeper than {} levels", self.limits.depth_max);
            return Err(Issue::error("E-JSON-3", IssueCode::TooCostly, "", text));
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => Ok(Json::String(self.string()?)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            _ => Err(self.unexpected("a value")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, Issue> {
        self.at += 1;
        let mut object = Object::new();
        let mut seen = std::collections::HashSet::new();
        self.skip_space();
        if self.take(b'}') {
            return Ok(Json::Object(object));
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("a key in quotes"));
            }
            let key = self.string()?;
            let known = if object.len() < 16 {
                object.get(&key).is_some()
            } else {
                if seen.is_empty() {
                    seen.extend(object.keys().map(str::to_owned));
                }
                !seen.insert(key.clone())
            };
            if known {
                let text = std::format!("a key is given twice at byte {}", self.at);
                return Err(Issue::error("E-JSON-4", IssueCode::Duplicate, key, text));
            }
            self.skip_space();
            self.expect(b':', "':'")?;
            self.skip_space();
            let value = self.value(depth + 1)?;
            object.push(key, value);
            self.skip_space();
            if self.take(b'}') {
                return Ok(Json::Object(object));
            }
            self.expect(b',', "',' or '}'")?;
        }
    }

    fn array(&mut self, depth: usize) -> Result<Json, Issue> {
        self.at += 1;
        let mut items = Vec::new();
        self.skip_space();
        if self.take(b']') {
            return Ok(Json::Array(items));
        }
        loop {
            self.skip_space();
            items.push(self.value(depth + 1)?);
            self.skip_space();
            if self.take(b']') {
                return Ok(Json::Array(items));
            }
            self.expect(b',', "',' or ']'")?;
        }
    }

    fn string(&mut self) -> Result<String, Issue> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest = self.rest();
            let stop = rest
                .bytes()
                .position(|b| b == b'"' || b == b'\\' || b < b' ');
            let Some(stop) = stop else {
                return Err(self.unexpected("a closing quote"));
            };
            out.push_str(rest.get(..stop).unwrap_or_default());
            self.at += stop;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => {
                    self.at += 1;
                    out.push(self.escape()?);
                }
                _ => return Err(self.unexpected("an escaped control character")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Issue> {
        let byte = self.peek();
        self.at += 1;
        Ok(match byte {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => {
                self.at -= 1;
                return Err(self.unexpected("an escape that JSON knows"));
            }
        })
    }

    fn unicode_escape(&mut self) -> Result<char, Issue> {
        let high = self.hex4()?;
        let code = if (0xD800..0xDC00).contains(&high) {
            if !(self.take(b'\\') && self.take(b'u')) {
                return Err(self.unexpected("the second half of a surrogate pair"));
            }
            let low = self.hex4()?;
            if !(0xDC00..0xE000).contains(&low) {
                return Err(self.unexpected("the second half of a surrogate pair"));
            }
            0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)
        } else {
            high
        };
        char::from_u32(code).ok_or_else(|| self.unexpected("a whole surrogate pair"))
    }

    fn hex4(&mut self) -> Result<u32, Issue> {
        let digits = self.text.get(self.at..self.at + 4);
        let plain = digits.filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        let code = plain.and_then(|d| u32::from_str_radix(d, 16).ok());
        let code = code.ok_or_else(|| self.unexpected("four hex digits"))?;
        self.at += 4;
        Ok(code)
    }

    fn number(&mut self) -> Result<Json, Issue> {
        let start = self.at;
        self.take(b'-');
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(self.unexpected("a digit")),
        }
        if self.take(b'.') {
            self.require_digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _signed = self.take(b'+') || self.take(b'-');
            self.require_digits()?;
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        if text.len() > self.limits.number_length_max {
            let text = std::format!(
                "a number longer than {} digits",
                self.limits.number_length_max
            );
            return Err(Issue::error("E-JSON-5", IssueCode::TooLong, "", text));
        }
        Ok(Json::Number(text.into()))
    }

    fn require_digits(&mut self) -> Result<(), Issue> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.unexpected("a digit"));
        }
        self.digits();
        Ok(())
    }

    fn digits(&mut self) {
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
    }

    fn word(&mut self, word: &str, value: Json) -> Result<Json, Issue> {
        if !self.rest().starts_with(word) {
            return Err(self.unexpected("a value"));
        }
        self.at += word.len();
        Ok(value)
    }

    fn expect(&mut self, byte: u8, what: &str) -> Result<(), Issue> {
        if self.take(byte) {
            Ok(())
        } else {
            Err(self.unexpected(what))
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn unexpected(&self, wanted: &str) -> Issue {
        fault(
            "E-JSON-2",
            &std::format!("malformed JSON at byte {}: expected {wanted}", self.at),
        )
    }
}
