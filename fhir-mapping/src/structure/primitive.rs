//! The primitive types of R4 (2.24.0.1): which JSON value carries each, and its pattern.

use crate::model::{Json, is_valid_id};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Primitive {
    Boolean,
    Integer,
    UnsignedInt,
    PositiveInt,
    Decimal,
    Text,
    Code,
    Id,
    Uri,
    Oid,
    Uuid,
    Base64,
    Date,
    DateTime,
    Instant,
    Time,
    Xhtml,
}

/// Why a value does not fit its primitive type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// Another JSON type is wanted: "a string".
    JsonType(&'static str),
    /// The text breaks the type's pattern: what it wants.
    Pattern(&'static str),
}

impl Primitive {
    pub(crate) fn of(type_name: &str) -> Option<Primitive> {
        Some(match type_name {
            "boolean" => Primitive::Boolean,
            "integer" => Primitive::Integer,
            "unsignedInt" => Primitive::UnsignedInt,
            "positiveInt" => Primitive::PositiveInt,
            "decimal" => Primitive::Decimal,
            "string" | "markdown" => Primitive::Text,
            "code" => Primitive::Code,
            "id" => Primitive::Id,
            "uri" | "url" | "canonical" => Primitive::Uri,
            "oid" => Primitive::Oid,
            "uuid" => Primitive::Uuid,
            "base64Binary" => Primitive::Base64,
            "date" => Primitive::Date,
            "dateTime" => Primitive::DateTime,
            "instant" => Primitive::Instant,
            "time" => Primitive::Time,
            "xhtml" => Primitive::Xhtml,
            _ => return None,
        })
    }

    pub(crate) fn check(self, value: &Json) -> Result<(), Misfit> {
        let fits = match (self, value) {
            (Primitive::Boolean, Json::Bool(_)) => true,
            // The JSON grammar is the decimal's pattern.
            (Primitive::Decimal, Json::Number(_)) => true,
            (Primitive::Integer, Json::Number(text)) => is_integer(text, i32::MIN),
            (Primitive::UnsignedInt, Json::Number(text)) => is_integer(text, 0),
            (Primitive::PositiveInt, Json::Number(text)) => is_integer(text, 1),
            (_, Json::String(text)) => self.fits_text(text)?,
            _ => return Err(Misfit::JsonType(self.json_type())),
        };
        if fits {
            Ok(())
        } else {
            Err(Misfit::Pattern(self.wanted()))
        }
    }

    fn fits_text(self, text: &str) -> Result<bool, Misfit> {
        Ok(match self {
            Primitive::Text => is_text(text),
            Primitive::Code => is_code(text),
            Primitive::Id => is_valid_id(text),
            Primitive::Uri => is_uri(text),
            Primitive::Oid => is_oid(text),
            Primitive::Uuid => is_uuid(text),
            Primitive::Base64 => is_base64(text),
            Primitive::Date => date(text.as_bytes()).is_some_and(<[u8]>::is_empty),
            Primitive::DateTime => is_date_time(text),
            Primitive::Instant => is_instant(text),
            Primitive::Time => time(text.as_bytes()).is_some_and(<[u8]>::is_empty),
            Primitive::Xhtml => !text.is_empty(),
            Primitive::Boolean
            | Primitive::Integer
            | Primitive::UnsignedInt
            | Primitive::PositiveInt
            | Primitive::Decimal => return Err(Misfit::JsonType(self.json_type())),
        })
    }

    fn json_type(self) -> &'static str {
        match self {
            Primitive::Boolean => "true or false",
            Primitive::Integer
            | Primitive::UnsignedInt
            | Primitive::PositiveInt
            | Primitive::Decimal => "a number",
            _ => "a string",
        }
    }

    fn wanted(self) -> &'static str {
        match self {
            Primitive::Boolean => "true or false",
            Primitive::Integer => "a whole number of 32 bits",
            Primitive::UnsignedInt => "a whole number from 0 to 2147483647",
            Primitive::PositiveInt => "a whole number from 1 to 2147483647",
            Primitive::Decimal => "a decimal number",
            Primitive::Text => "text: not empty, no control characters but tab and line ends",
            Primitive::Code => "a code: not empty, single spaces inside only",
            Primitive::Id => "an id: 1 to 64 letters, digits, '-' and '.'",
            Primitive::Uri => "a URI: not empty, no white space",
            Primitive::Oid => "an OID as urn:oid:1.2.3",
            Primitive::Uuid => "a UUID as urn:uuid: and 36 lower-case characters",
            Primitive::Base64 => "base64",
            Primitive::Date => "a date: YYYY, YYYY-MM or YYYY-MM-DD, in the calendar",
            Primitive::DateTime => {
                "a dateTime: a date, or a full date with time of day (seconds too) and zone"
            }
            Primitive::Instant => "an instant: full date, time of day with seconds, and zone",
            Primitive::Time => "a time of day: hh:mm:ss",
            Primitive::Xhtml => "a narrative",
        }
    }
}

/// `[0]|[-+]?[1-9][0-9]*`, of 32 bits.
fn is_integer(text: &str, min: i32) -> bool {
    let plain = text != "-0" && text.parse::<i32>().is_ok_and(|n| n >= min);
    plain && text.bytes().all(|b| b.is_ascii_digit() || b == b'-')
}

fn is_text(text: &str) -> bool {
    let allowed = |b: u8| b >= b' ' || matches!(b, b'\t' | b'\n' | b'\r');
    !text.is_empty() && text.bytes().all(allowed)
}

/// `[^\s]+(\s[^\s]+)*`
fn is_code(text: &str) -> bool {
    if text.bytes().all(|b| b.is_ascii_graphic()) {
        return !text.is_empty();
    }
    text.split(char::is_whitespace).all(|part| !part.is_empty()) && is_text(text)
}

fn is_uri(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

/// `urn:oid:[0-2](\.(0|[1-9][0-9]*))+`
fn is_oid(text: &str) -> bool {
    let Some((root, rest)) = text
        .strip_prefix("urn:oid:")
        .and_then(|t| t.split_once('.'))
    else {
        return false;
    };
    let arc = |part: &str| {
        let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        digits && (part == "0" || !part.starts_with('0'))
    };
    matches!(root, "0" | "1" | "2") && rest.split('.').all(arc)
}

fn is_uuid(text: &str) -> bool {
    let Some(hex) = text.strip_prefix("urn:uuid:") else {
        return false;
    };
    let is_right = |(at, b): (usize, u8)| match at {
        8 | 13 | 18 | 23 => b == b'-',
        _ => b.is_ascii_digit() || (b'a'..=b'f').contains(&b),
    };
    hex.len() == 36 && hex.bytes().enumerate().all(is_right)
}

/// Groups of four, white space anywhere, at most two `=` at the very end.
fn is_base64(text: &str) -> bool {
    let (mut letters, mut padding) = (0_usize, 0_usize);
    for byte in text.bytes() {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => {}
            b'=' => padding += 1,
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' if padding == 0 => letters += 1,
            _ => return false,
        }
    }
    letters > 0 && padding <= 2 && (letters + padding).is_multiple_of(4)
}

fn is_date_time(text: &str) -> bool {
    let is_date = date(text.as_bytes()).is_some_and(<[u8]>::is_empty);
    is_date || is_instant(text)
}

fn is_instant(text: &str) -> bool {
    let Some((day, clock)) = text.split_once('T') else {
        return false;
    };
    let whole_day = day.len() == 10 && date(day.as_bytes()).is_some_and(<[u8]>::is_empty);
    whole_day && time(clock.as_bytes()).is_some_and(is_zone)
}

/// Reads `YYYY[-MM[-DD]]` from the front and gives what follows.
fn date(text: &[u8]) -> Option<&[u8]> {
    let (high, rest) = two_digits(text)?;
    let (low, rest) = two_digits(rest)?;
    let year = high * 100 + low;
    if year == 0 {
        return None;
    }
    let Some(rest) = rest.strip_prefix(b"-") else {
        return Some(rest);
    };
    let (month, rest) = two_digits(rest).filter(|(m, _)| (1..=12).contains(m))?;
    let Some(rest) = rest.strip_prefix(b"-") else {
        return Some(rest);
    };
    let (day, rest) = two_digits(rest)?;
    (1..=days_in(year, month)).contains(&day).then_some(rest)
}

/// Reads `hh:mm:ss[.s...]` from the front and gives what follows. Second 60 is a leap second.
fn time(text: &[u8]) -> Option<&[u8]> {
    let (_, rest) = two_digits(text).filter(|(hour, _)| *hour <= 23)?;
    let (_, rest) = two_digits(rest.strip_prefix(b":")?).filter(|(minute, _)| *minute <= 59)?;
    let (_, rest) = two_digits(rest.strip_prefix(b":")?).filter(|(second, _)| *second <= 60)?;
    let Some(fraction) = rest.strip_prefix(b".") else {
        return Some(rest);
    };
    let digits = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
    (digits > 0).then(|| fraction.get(digits..)).flatten()
}

/// `Z`, or an offset up to 14:00.
fn is_zone(text: &[u8]) -> bool {
    let offset = match text {
        b"Z" => return true,
        [b'+' | b'-', offset @ ..] => offset,
        _ => return false,
    };
    let Some((hours, rest)) = two_digits(offset) else {
        return false;
    };
    let Some((minutes, [])) = rest.strip_prefix(b":").and_then(two_digits) else {
        return false;
    };
    minutes <= 59 && (hours <= 13 || (hours == 14 && minutes == 0))
}

fn two_digits(text: &[u8]) -> Option<(u16, &[u8])> {
    let [tens @ b'0'..=b'9', ones @ b'0'..=b'9', rest @ ..] = text else {
        return None;
    };
    Some((u16::from(tens - b'0') * 10 + u16::from(ones - b'0'), rest))
}

fn days_in(year: u16, month: u16) -> u16 {
    let is_leap = (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(type_name: &str, good: &[&str], bad: &[&str]) {
        let primitive = Primitive::of(type_name).unwrap();
        for text in good {
            assert_eq!(
                primitive.check(&Json::from(*text)),
                Ok(()),
                "{type_name} {text:?}"
            );
        }
        for text in bad {
            let got = primitive.check(&Json::from(*text));
            assert!(
                matches!(got, Err(Misfit::Pattern(_))),
                "{type_name} {text:?}: {got:?}"
            );
        }
    }

    #[test]
    fn texts() {
        check("string", &["a", " ", "é\r\n\t"], &["", "\0", "a\u{1b}"]);
        check(
            "code",
            &["a", "a b", "<="],
            &["", " a", "a ", "a  b", "a\n\nb"],
        );
        check("id", &["A-1.b"], &["", "a_b", "a/b", &"x".repeat(65)]);
        check("uri", &["urn:x", "Patient/1"], &["", "a b", "a\tb"]);
        check(
            "oid",
            &["urn:oid:1.2.0.3"],
            &["1.2.3", "urn:oid:3.1", "urn:oid:1", "urn:oid:1.02"],
        );
        let uuid = "urn:uuid:c757873d-ec9a-4326-a141-556f43239520";
        check(
            "uuid",
            &[uuid],
            &[
                "urn:uuid:1",
                &uuid.to_uppercase(),
                uuid.trim_end_matches('0'),
            ],
        );
        check(
            "base64Binary",
            &["AAAA", "AA==\n", "AAAA AAA="],
            &["", "A", "A===", "AA=A", "A-_="],
        );
    }

    #[test]
    fn times() {
        let dates = ["2024", "2024-02", "2024-02-29", "2000-02-29", "0001"];
        let no_dates = [
            "",
            "24",
            "2024-2",
            "2024-13",
            "2024-00",
            "2023-02-29",
            "1900-02-29",
        ];
        check("date", &dates, &no_dates);
        check(
            "date",
            &[],
            &[
                "2024-04-31",
                "2024-01-00",
                "2024-01-01T00:00:00Z",
                "0000",
                "2024-",
            ],
        );
        check("dateTime", &dates, &no_dates);
        let instants = ["2015-02-07T13:28:17.239+02:00", "2017-01-01T00:00:00Z"];
        let no_instants = [
            "2015-02-07T13:28Z",
            "2015-02-07T13:28:17",
            "2015-02-07T24:00:00Z",
            "2015-02T13:28:17Z",
            "2015-02-07T13:28:17.Z",
            "2015-02-07T13:28:17+14:30",
            "2015-02-07T13:28:17+2:00",
            "2015-02-30T13:28:17Z",
            "2015-02-07 13:28:17Z",
        ];
        check("dateTime", &instants, &no_instants);
        check("instant", &instants, &no_instants);
        check(
            "instant",
            &["2016-12-31T23:59:60Z", "2016-12-31T23:59:59-14:00"],
            &["2016-12-31"],
        );
        check(
            "time",
            &["00:00:00", "23:59:60.5"],
            &["12:00", "24:00:00", "12:00:00Z", "1:00:00"],
        );
    }

    #[test]
    fn numbers() {
        let fits = |type_name: &str, text: &str| {
            let primitive = Primitive::of(type_name).unwrap();
            primitive.check(&Json::Number(text.into())).is_ok()
        };
        assert!(fits("integer", "-2147483648") && fits("integer", "0"));
        for text in ["1.0", "1e2", "-0", "2147483648"] {
            assert!(!fits("integer", text), "{text}");
        }
        assert!(fits("unsignedInt", "0") && !fits("unsignedInt", "-1"));
        assert!(fits("positiveInt", "1") && !fits("positiveInt", "0"));
        assert!(fits("decimal", "1e400") && fits("decimal", "-0.00"));
        assert!(!fits("string", "1") && !fits("boolean", "1"));
        let text = Primitive::Decimal.check(&Json::from("1.0"));
        assert_eq!(text, Err(Misfit::JsonType("a number")));
    }
}
