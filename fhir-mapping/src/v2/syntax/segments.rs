//! Text to segments, fields, repetitions, components and subcomponents, with the delimiters that
//! MSH gave. Nothing is unescaped before it is asked for.

use super::escape::unescape;
use encoding_rs::{Encoding, UTF_8};

/// The delimiters of one message and the character set of its `\X..\` bytes.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::v2) struct Syntax {
    pub field: char,
    pub component: char,
    pub repetition: char,
    pub escape: Option<char>,
    pub subcomponent: Option<char>,
    pub encoding: &'static Encoding,
}

impl Default for Syntax {
    fn default() -> Syntax {
        Syntax {
            field: '|',
            component: '^',
            repetition: '~',
            escape: Some('\\'),
            subcomponent: Some('&'),
            encoding: UTF_8,
        }
    }
}

impl Syntax {
    /// From `MSH|^~\&` (MSH-2 may have 2 to 5 characters).
    pub(in crate::v2) fn of_header(line: &str, encoding: &'static Encoding) -> Option<Syntax> {
        let mut characters = line.strip_prefix("MSH")?.chars();
        let field = characters.next()?;
        let mut encoding_characters = characters.take_while(|c| *c != field);
        Some(Syntax {
            field,
            component: encoding_characters.next()?,
            repetition: encoding_characters.next().unwrap_or('~'),
            escape: encoding_characters.next(),
            subcomponent: encoding_characters.next(),
            encoding,
        })
    }
}

/// One segment; fields are kept as sent.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::v2) struct Segment {
    pub name: String,
    fields: Vec<String>,
    syntax: Syntax,
}

impl Segment {
    fn read(line: &str, syntax: &Syntax) -> Segment {
        let mut parts = line.split(syntax.field).map(str::to_owned);
        let name = parts.next().unwrap_or_default();
        let mut fields: Vec<String> = Vec::new();
        if name == "MSH" {
            fields.push(syntax.field.to_string());
        }
        fields.extend(parts);
        let syntax = syntax.clone();
        Segment {
            name,
            fields,
            syntax,
        }
    }

    /// Field n as HL7 counts them; an absent one is empty.
    pub(in crate::v2) fn field(&self, number: usize) -> Field<'_> {
        let text = self.fields.get(number.saturating_sub(1));
        Field {
            text: text.map_or("", String::as_str),
            syntax: &self.syntax,
        }
    }
}

/// A field or a part of it, as sent.
#[derive(Clone, Copy, Debug)]
pub(in crate::v2) struct Field<'a> {
    text: &'a str,
    syntax: &'a Syntax,
}

impl<'a> Field<'a> {
    /// The repetitions that hold something.
    pub(in crate::v2) fn repeats(self) -> impl Iterator<Item = Field<'a>> {
        let parts = self.text.split(self.syntax.repetition);
        let fields = parts.map(move |text| Field { text, ..self });
        fields.filter(|field| !field.is_empty())
    }

    /// The first repetition, empty or not.
    pub(in crate::v2) fn first(self) -> Field<'a> {
        self.part(self.syntax.repetition, 1)
    }

    pub(in crate::v2) fn component(self, number: usize) -> Field<'a> {
        self.part(self.syntax.component, number)
    }

    pub(in crate::v2) fn sub(self, number: usize) -> Field<'a> {
        match self.syntax.subcomponent {
            Some(separator) => self.part(separator, number),
            None if number == 1 => self,
            None => Field { text: "", ..self },
        }
    }

    fn part(self, separator: char, number: usize) -> Field<'a> {
        let part = self.text.split(separator).nth(number.saturating_sub(1));
        Field {
            text: part.unwrap_or_default(),
            ..self
        }
    }

    /// As sent, delimiters and escapes included.
    pub(in crate::v2) fn raw(self) -> &'a str {
        self.text
    }

    /// Nothing but delimiters and space.
    pub(in crate::v2) fn is_empty(self) -> bool {
        let syntax = self.syntax;
        let is_delimiter = |c: char| {
            c == syntax.component || c == syntax.repetition || syntax.subcomponent == Some(c)
        };
        self.text
            .chars()
            .all(|c| c.is_whitespace() || is_delimiter(c))
    }

    /// `""`: the sender deletes the value.
    pub(in crate::v2) fn is_deletion(self) -> bool {
        self.text.trim() == "\"\""
    }

    /// The text of this part, unescaped, without control characters and outer space.
    /// `None` when empty or deleted.
    pub(in crate::v2) fn text(self) -> Option<String> {
        if self.text.is_empty() || self.is_deletion() {
            return None;
        }
        let is_plain = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
        let plain = |c: char| if is_plain(c) { c } else { ' ' };
        let text: String = unescape(self.text, self.syntax)
            .chars()
            .map(plain)
            .collect();
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// `text`, or an empty string.
    pub(in crate::v2) fn text_or_empty(self) -> String {
        self.text().unwrap_or_default()
    }
}

/// Splits decoded text at CR, LF or CRLF. A line that cannot be a segment goes on with the one
/// before it: senders put bare line breaks into text. The flag says that this happened.
pub(in crate::v2) fn split(text: &str, syntax: &Syntax) -> (Vec<Segment>, bool) {
    let mut lines: Vec<String> = Vec::new();
    let mut joined = false;
    for line in text.split(['\r', '\n']) {
        if line.trim().is_empty() {
            continue;
        }
        match lines.last_mut() {
            Some(last) if !is_segment_start(line, syntax) => {
                last.push('\n');
                last.push_str(line);
                joined = true;
            }
            _ => lines.push(line.trim_start().to_owned()),
        }
    }
    let read = |line: &String| Segment::read(line, syntax);
    (lines.iter().map(read).collect(), joined)
}

fn is_segment_start(line: &str, syntax: &Syntax) -> bool {
    let line = line.trim_start();
    let name: String = line.chars().take(3).collect();
    let is_name = name.len() == 3
        && name.starts_with(|c: char| c.is_ascii_uppercase())
        && name
            .chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
    is_name && line.chars().nth(3).is_none_or(|c| c == syntax.field)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(line: &str) -> Segment {
        Segment::read(line, &Syntax::default())
    }

    #[test]
    fn reads_parts_of_fields() {
        let pid = segment(r#"PID|1||12^^^HOSP&1.2.3&ISO^MR~34^^^NAT|""|Diallo^A\T\B||\.br\"#);
        let ids = pid.field(3);
        let read = |f: Field<'_>| f.text_or_empty();
        assert_eq!(ids.repeats().count(), 2);
        assert_eq!(read(ids.first().component(1)), "12");
        assert_eq!(read(ids.first().component(4).sub(2)), "1.2.3");
        assert_eq!(read(ids.first().component(5).sub(1)), "MR");
        assert!(pid.field(4).is_deletion() && pid.field(4).text().is_none());
        assert_eq!(read(pid.field(5).component(2)), "A&B");
        assert!(pid.field(6).is_empty() && pid.field(99).is_empty());
        assert!(pid.field(7).text().is_none(), "only a line break");
    }

    #[test]
    fn reads_other_delimiters() {
        let syntax = Syntax::of_header("MSH#*!/%#LAB", UTF_8).unwrap();
        let (segments, _) = split("PID#1##12***A%B!34", &syntax);
        let ids = segments[0].field(3);
        assert_eq!(ids.first().component(4).sub(2).text_or_empty(), "B");
        assert_eq!(ids.repeats().count(), 2);
        let five = Syntax::of_header(r"MSH|^~\&#|LAB", UTF_8).unwrap();
        assert_eq!((five.component, five.subcomponent), ('^', Some('&')));
    }

    #[test]
    fn splits_any_line_end_and_joins_broken_text() {
        for end in ["\r", "\n", "\r\n", "\r\r\n"] {
            let text = ["MSH|^~\\&|A", "PID|1", "OBX|1|TX|a||x"].join(end);
            let (segments, joined) = split(&text, &Syntax::default());
            assert_eq!((segments.len(), joined), (3, false));
        }
        let (segments, joined) = split("OBX|1|TX|a||first\nsecond|x\rNTE|1", &Syntax::default());
        assert_eq!((segments.len(), joined), (2, true));
        assert_eq!(segments[0].field(5).text_or_empty(), "first\nsecond");
    }
}
