//! Character sets: the names of MSH-18 (HL7 table 0211 and what senders write instead), decoding,
//! and what to do when the bytes are not of the set that was declared.

use crate::model::{Issue, IssueCode};
use crate::v2::warning;
use encoding_rs::{
    BIG5, EUC_KR, Encoding, GB18030, GBK, ISO_2022_JP, ISO_8859_2, ISO_8859_3, ISO_8859_4,
    ISO_8859_5, ISO_8859_6, ISO_8859_7, ISO_8859_8, ISO_8859_10, ISO_8859_13, ISO_8859_14,
    ISO_8859_15, ISO_8859_16, KOI8_R, SHIFT_JIS, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_874,
    WINDOWS_1250, WINDOWS_1251, WINDOWS_1252, WINDOWS_1254, WINDOWS_1256,
};

/// Text, the set it was read in, and findings.
pub(in crate::v2) struct Decoded {
    pub text: String,
    pub encoding: &'static Encoding,
    pub issues: Vec<Issue>,
}

/// Decodes a message. `declared` is MSH-18 as sent (may be empty), `default` the connection's set.
/// Never fails: an unfit declaration is flagged and the most likely set is used instead.
pub(in crate::v2) fn decode(bytes: &[u8], declared: &str, default: &str) -> Decoded {
    let mut issues = Vec::new();
    if let Some((encoding, _)) = Encoding::for_bom(bytes) {
        let (text, _, _) = encoding.decode(bytes);
        return Decoded {
            text: text.into_owned(),
            encoding,
            issues,
        };
    }
    let named = encoding_named(declared);
    if named.is_none() && !declared.trim().is_empty() {
        let text = "MSH-18 names an unknown character set; the connection's set was tried";
        issues.push(warning("E-V2-2", IssueCode::NotSupported, "MSH-18", text));
    }
    let wanted = named.or_else(|| encoding_named(default)).unwrap_or(UTF_8);
    let encoding = fitting(bytes, wanted, named.is_some(), &mut issues);
    let (text, _) = encoding.decode_without_bom_handling(bytes);
    Decoded {
        text: text.into_owned(),
        encoding,
        issues,
    }
}

/// The wanted set if the bytes fit it, else UTF-8 if they are, else Windows-1252, which reads all.
fn fitting(
    bytes: &[u8],
    wanted: &'static Encoding,
    is_declared: bool,
    issues: &mut Vec<Issue>,
) -> &'static Encoding {
    let is_utf8 = std::str::from_utf8(bytes).is_ok();
    let fits = wanted
        .decode_without_bom_handling_and_without_replacement(bytes)
        .is_some();
    if bytes.is_ascii() && wanted.is_ascii_compatible() {
        return wanted;
    }
    if fits && (is_declared || wanted == UTF_8 || !is_utf8) {
        return wanted;
    }
    if fits {
        let text =
            "the text is valid UTF-8 although the connection's set is another; read as UTF-8";
        issues.push(warning("E-V2-4", IssueCode::Value, "MSH-18", text));
        return UTF_8;
    }
    let text = "the bytes are not of the declared character set; read in the most likely one";
    issues.push(warning("E-V2-3", IssueCode::Value, "MSH-18", text));
    if is_utf8 { UTF_8 } else { WINDOWS_1252 }
}

/// Names without case, spaces and punctuation, so that `ISO 8859-1` and `8859/1` are one.
const NAMES: &[(&str, &Encoding)] = &[
    ("ASCII", UTF_8),
    ("USASCII", UTF_8),
    ("ISOIR6", UTF_8),
    ("UNICODE", UTF_8),
    ("UNICODEUTF8", UTF_8),
    ("UTF8", UTF_8),
    ("UNICODEUTF16", UTF_16BE),
    ("UTF16", UTF_16BE),
    ("UTF16BE", UTF_16BE),
    ("UTF16LE", UTF_16LE),
    ("88591", WINDOWS_1252),
    ("LATIN1", WINDOWS_1252),
    ("ISOIR100", WINDOWS_1252),
    ("88592", ISO_8859_2),
    ("88593", ISO_8859_3),
    ("88594", ISO_8859_4),
    ("88595", ISO_8859_5),
    ("88596", ISO_8859_6),
    ("88597", ISO_8859_7),
    ("88598", ISO_8859_8),
    ("88599", WINDOWS_1254),
    ("885910", ISO_8859_10),
    ("885911", WINDOWS_874),
    ("885913", ISO_8859_13),
    ("885914", ISO_8859_14),
    ("885915", ISO_8859_15),
    ("885916", ISO_8859_16),
    ("ISOIR87", ISO_2022_JP),
    ("ISOIR159", ISO_2022_JP),
    ("ISOIR13", SHIFT_JIS),
    ("SHIFTJIS", SHIFT_JIS),
    ("SJIS", SHIFT_JIS),
    ("GB180302000", GB18030),
    ("GB18030", GB18030),
    ("GB2312", GBK),
    ("GBK", GBK),
    ("KSX1001", EUC_KR),
    ("EUCKR", EUC_KR),
    ("CNS116431992", BIG5),
    ("BIG5", BIG5),
    ("KOI8R", KOI8_R),
    ("WINDOWS1250", WINDOWS_1250),
    ("CP1250", WINDOWS_1250),
    ("WINDOWS1251", WINDOWS_1251),
    ("CP1251", WINDOWS_1251),
    ("WINDOWS1252", WINDOWS_1252),
    ("CP1252", WINDOWS_1252),
    ("WINDOWS1256", WINDOWS_1256),
    ("CP1256", WINDOWS_1256),
];

/// The set of an MSH-18 name; `None` for an empty or unknown one.
pub(in crate::v2) fn encoding_named(name: &str) -> Option<&'static Encoding> {
    let plain: String = name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_uppercase())
        .collect();
    let bare = plain.strip_prefix("ISO").filter(|b| b.starts_with("8859"));
    let key = bare.unwrap_or(&plain);
    let row = NAMES.iter().find(|(known, _)| *known == key);
    row.map(|(_, encoding)| *encoding)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected: text, then the numbers of the findings.
    fn check(bytes: &[u8], declared: &str, default: &str, expected: (&str, &[&str])) {
        let decoded = decode(bytes, declared, default);
        let numbers: Vec<&str> = decoded.issues.iter().map(|i| i.number).collect();
        assert_eq!((decoded.text.as_str(), &*numbers), expected, "{declared}");
    }

    #[test]
    fn decodes_what_senders_declare() {
        let utf8 = "Aïcha Ñandú".as_bytes();
        let latin1 = b"A\xEFcha";
        check(utf8, "UNICODE UTF-8", "", ("Aïcha Ñandú", &[]));
        check(utf8, "UNICODE", "8859/1", ("Aïcha Ñandú", &[]));
        check(utf8, "utf-8", "8859/1", ("Aïcha Ñandú", &[]));
        check(latin1, "8859/1", "", ("Aïcha", &[]));
        check(latin1, "ISO 8859-1", "", ("Aïcha", &[]));
        check(latin1, "", "8859/1", ("Aïcha", &[]));
        check(b"\xA4", "8859/15", "", ("€", &[]));
        check(b"\xC9\xEC", "8859/5", "", ("Щь", &[]));
        check(b"\xCD\xF5", "GB 18030-2000", "", ("王", &[]));
        check(b"\xE7", "8859/9", "", ("ç", &[]));
        check(b"plain", "ASCII", "", ("plain", &[]));
        check(b"\xFE\xFF\x00M\x00S", "", "", ("MS", &[]));
    }

    #[test]
    fn flags_what_does_not_fit() {
        let utf8 = "Aïcha".as_bytes();
        check(b"plain", "KLINGON", "UNICODE UTF-8", ("plain", &["E-V2-2"]));
        check(b"A\xEFcha", "UNICODE UTF-8", "", ("Aïcha", &["E-V2-3"]));
        check(b"A\xEFcha", "", "UNICODE UTF-8", ("Aïcha", &["E-V2-3"]));
        check(utf8, "", "8859/1", ("Aïcha", &["E-V2-4"]));
        check(b"A\xEFcha", "ASCII", "", ("Aïcha", &["E-V2-3"]));
    }
}
