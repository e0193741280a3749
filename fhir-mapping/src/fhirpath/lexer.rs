//! Text to tokens (N1 grammar, lexical rules).

use super::Misread;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) at: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// A name or keyword.
    Name(String),
    /// A name in backticks: never a keyword.
    Quoted(String),
    /// 'text'
    Text(String),
    Number(String),
    /// After the `@`.
    Moment(String),
    /// After the `%`.
    External(String),
    /// After the `$`.
    Dollar(String),
    Symbol(&'static str),
    End,
}

/// A longer text is no expression that a person or a profile writes.
const TEXT_BYTES_MAX: usize = 32_768;

const SYMBOLS: [&str; 22] = [
    "<=", ">=", "!=", "!~", ".", "(", ")", "[", "]", "{", "}", ",", "+", "-", "*", "/", "|", "&",
    "<", ">", "=", "~",
];

pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Misread> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(misread(TEXT_BYTES_MAX, "the expression is too long"));
    }
    let mut lexer = Lexer { text, at: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_blank()?;
        let at = lexer.at;
        let kind = lexer.token()?;
        let is_end = kind == Kind::End;
        tokens.push(Token { kind, at });
        if is_end {
            return Ok(tokens);
        }
    }
}

pub(super) fn misread(at: usize, reason: impl Into<String>) -> Misread {
    Misread {
        at,
        reason: reason.into(),
    }
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// Takes characters while they fit.
    fn take(&mut self, fits: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|c| !fits(c)).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    fn skip_blank(&mut self) -> Result<(), Misread> {
        loop {
            self.take(char::is_whitespace);
            if self.rest().starts_with("//") {
                self.take(|c| c != '\n' && c != '\r');
            } else if let Some(comment) = self.rest().strip_prefix("/*") {
                let end = comment.find("*/");
                let end = end.ok_or_else(|| misread(self.at, "the comment has no end"))?;
                self.at += end + 4;
            } else {
                return Ok(());
            }
        }
    }

    fn token(&mut self) -> Result<Kind, Misread> {
        let at = self.at;
        let Some(first) = self.peek() else {
            return Ok(Kind::End);
        };
        match first {
            'A'..='Z' | 'a'..='z' | '_' => Ok(Kind::Name(self.name())),
            '0'..='9' => Ok(Kind::Number(self.number())),
            '\'' => Ok(Kind::Text(self.quoted('\'')?)),
            '`' => Ok(Kind::Quoted(self.quoted('`')?)),
            '@' => self.moment(),
            '%' => self.external(),
            '$' => {
                self.next();
                Ok(Kind::Dollar(self.name()))
            }
            _ => {
                let symbol = SYMBOLS.iter().find(|s| self.rest().starts_with(**s));
                let symbol = symbol.ok_or_else(|| misread(at, "no token starts like this"))?;
                self.at += symbol.len();
                Ok(Kind::Symbol(symbol))
            }
        }
    }

    fn name(&mut self) -> String {
        let name = self.take(|c| c.is_ascii_alphanumeric() || c == '_');
        name.to_owned()
    }

    fn external(&mut self) -> Result<Kind, Misread> {
        self.next();
        let name = match self.peek() {
            Some(quote @ ('\'' | '`')) => self.quoted(quote)?,
            _ => {
                let name = self.take(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
                name.to_owned()
            }
        };
        if name.is_empty() {
            return Err(misread(self.at, "a name follows %"));
        }
        Ok(Kind::External(name))
    }

    /// Digits, and a fraction only when a digit follows the point: `1.toString()` is a call.
    fn number(&mut self) -> String {
        let start = self.at;
        self.take(|c| c.is_ascii_digit());
        self.fraction();
        self.text.get(start..self.at).unwrap_or_default().to_owned()
    }

    fn fraction(&mut self) {
        let mut ahead = self.rest().chars();
        let follows = ahead.next() == Some('.') && ahead.next().is_some_and(|c| c.is_ascii_digit());
        if follows {
            self.next();
            self.take(|c| c.is_ascii_digit());
        }
    }

    fn quoted(&mut self, quote: char) -> Result<String, Misread> {
        let at = self.at;
        self.next();
        let mut text = String::new();
        loop {
            match self.next() {
                None => return Err(misread(at, "the text has no end")),
                Some(c) if c == quote => return Ok(text),
                Some('\\') => text.push(self.escape()?),
                Some(c) => text.push(c),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Misread> {
        let at = self.at;
        let escaped = match self.next() {
            Some('u') => {
                let digits = self.rest().get(..4).unwrap_or_default();
                let code = u32::from_str_radix(digits, 16)
                    .ok()
                    .and_then(char::from_u32);
                let code = code.ok_or_else(|| misread(at, "\\u wants four hexadecimal digits"))?;
                self.at += 4;
                code
            }
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('f') => '\u{c}',
            Some(c @ ('\\' | '/' | '\'' | '"' | '`')) => c,
            // Outside the grammar, but R4's own invariants hold such escapes for matches().
            Some(_) => {
                self.at = at;
                '\\'
            }
            None => return Err(misread(at, "the text has no end")),
        };
        Ok(escaped)
    }

    /// `@2012-04-05T13:00:00.5+02:00`, or less of it, or `@T13:00`.
    fn moment(&mut self) -> Result<Kind, Misread> {
        let at = self.at;
        self.next();
        let start = self.at;
        let is_time = self.peek() == Some('T');
        if !is_time {
            self.date();
        }
        if self.peek() == Some('T') {
            self.next();
            self.clock();
            if !is_time {
                self.offset();
            }
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        if text.is_empty() || text == "T" {
            return Err(misread(at, "a date or time follows @"));
        }
        Ok(Kind::Moment(text.to_owned()))
    }

    fn date(&mut self) {
        self.take(|c| c.is_ascii_digit());
        for _ in 0..2 {
            self.part('-');
        }
    }

    fn clock(&mut self) {
        self.take(|c| c.is_ascii_digit());
        for _ in 0..2 {
            self.part(':');
        }
        self.fraction();
    }

    /// A separator with a digit behind it.
    fn part(&mut self, separator: char) {
        let mut ahead = self.rest().chars();
        let follows =
            ahead.next() == Some(separator) && ahead.next().is_some_and(|c| c.is_ascii_digit());
        if follows {
            self.next();
            self.take(|c| c.is_ascii_digit());
        }
    }

    fn offset(&mut self) {
        match self.peek() {
            Some('Z') => {
                self.next();
            }
            Some(sign @ ('+' | '-')) => {
                self.part(sign);
                self.part(':');
            }
            _ => {}
        }
    }
}
