//! The acknowledgement (HL7 v2.5.1, chapter 2.9), built from raw bytes: it tolerates whatever
//! stands in MSH-3 to MSH-6 and echoes version, processing id and character set.

use super::AckCode;
use super::header::RawHeader;

/// See [`super::acknowledge`].
pub(super) fn build(
    bytes: &[u8],
    code: AckCode,
    text: &str,
    control_id: &str,
    now: &str,
) -> Option<Vec<u8>> {
    let header = RawHeader::find(bytes)?;
    let msh: [&[u8]; 17] = [
        header.field(2),
        header.field(5),
        header.field(6),
        header.field(3),
        header.field(4),
        now.as_bytes(),
        b"",
        &reply_type(&header),
        control_id.as_bytes(),
        or(header.field(11), b"P"),
        or(header.field(12), b"2.3.1"),
        b"",
        b"",
        b"",
        b"",
        b"",
        header.field(18),
    ];
    let text = plain(text, &header);
    let sequence = header.field(13);
    let msa: [&[u8]; 4] = [
        code_text(code, &header).as_bytes(),
        header.field(10),
        text.as_bytes(),
        sequence,
    ];
    let mut out = segment(b"MSH", &msh, header.separator);
    out.extend(segment(b"MSA", &msa, header.separator));
    if code != AckCode::Accept {
        out.extend(error_segment(code, &text, &header));
    }
    Some(out)
}

/// Enhanced mode asks for a commit acknowledgement (`CA`); when an application acknowledgement is
/// asked for as well, it is the one that is given, for it says at least as much.
fn code_text(code: AckCode, header: &RawHeader<'_>) -> &'static str {
    let asked = |field: usize| matches!(header.field(field), b"AL" | b"SU" | b"ER");
    match (code, asked(15) && !asked(16)) {
        (AckCode::Accept, false) => "AA",
        (AckCode::Error, false) => "AE",
        (AckCode::Reject, false) => "AR",
        (AckCode::Accept, true) => "CA",
        (AckCode::Error, true) => "CE",
        (AckCode::Reject, true) => "CR",
    }
}

/// `ACK^R01^ACK` for `ORU^R01`, `ACK` when no trigger was given.
fn reply_type(header: &RawHeader<'_>) -> Vec<u8> {
    let trigger = header.component(9, 2);
    if trigger.is_empty() {
        return b"ACK".to_vec();
    }
    let separator = [header.component_separator()];
    [b"ACK", &separator[..], trigger, &separator[..], b"ACK"].concat()
}

/// ERR with the code of table 0357: 207 for a passing fault, 200 for what cannot be accepted.
fn error_segment(code: AckCode, text: &str, header: &RawHeader<'_>) -> Vec<u8> {
    let (number, name): (&[u8], &[u8]) = match code {
        AckCode::Reject => (b"200", b"Unsupported message type"),
        _ => (b"207", b"Application internal error"),
    };
    let separator = [header.component_separator()];
    let coded = [number, &separator[..], name, &separator[..], b"HL70357"].concat();
    let empty: &[u8] = b"";
    let fields = [
        empty,
        empty,
        &coded,
        b"E",
        empty,
        empty,
        empty,
        text.as_bytes(),
    ];
    segment(b"ERR", &fields, header.separator)
}

fn segment(name: &[u8], fields: &[&[u8]], separator: u8) -> Vec<u8> {
    let mut out = name.to_vec();
    for field in fields {
        out.push(separator);
        out.extend_from_slice(field);
    }
    while out.last() == Some(&separator) {
        out.pop();
    }
    out.push(b'\r');
    out
}

fn or<'a>(field: &'a [u8], otherwise: &'a [u8]) -> &'a [u8] {
    if field.is_empty() { otherwise } else { field }
}

/// Our own words, in characters that need no escape in any message.
fn plain(text: &str, header: &RawHeader<'_>) -> String {
    let delimiters = header.field(2);
    let is_safe = |c: char| {
        let byte = u8::try_from(c).unwrap_or(0);
        (c == ' ' || c.is_ascii_graphic())
            && byte != header.separator
            && !delimiters.contains(&byte)
    };
    text.chars()
        .map(|c| if is_safe(c) { c } else { ' ' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: &str, code: AckCode, expected: &str) {
        let ack = build(
            message.as_bytes(),
            code,
            "why|so",
            "W7",
            "20261124180000+0000",
        );
        let text = String::from_utf8(ack.unwrap()).unwrap();
        assert_eq!(text.replace('\r', "\n"), expected, "{message}");
    }

    #[test]
    fn answers_in_the_words_of_the_sender() {
        check(
            "MSH|^~\\&|LAB|HOSP|LIS|CLINIC|20260101||ORU^R01|42|P|2.3.1||||||UNICODE\rOBX|",
            AckCode::Accept,
            "MSH|^~\\&|LIS|CLINIC|LAB|HOSP|20261124180000+0000||ACK^R01^ACK|W7|P|2.3.1||||||UNICODE\n\
             MSA|AA|42|why so\n",
        );
        check(
            "MSH#*!/%#A##B####QBP*Q11#7#T#2.5",
            AckCode::Error,
            "MSH#*!/%#B##A##20261124180000+0000##ACK*Q11*ACK#W7#T#2.5\n\
             MSA#AE#7#why|so\nERR###207*Application internal error*HL70357#E####why|so\n",
        );
    }

    #[test]
    fn tolerates_odd_headers() {
        check(
            "\u{feff}MSH|^~\\&|^^|^^|^^|^^||SEC|ORU|1",
            AckCode::Reject,
            "MSH|^~\\&|^^|^^|^^|^^|20261124180000+0000||ACK|W7|P|2.3.1\nMSA|AR|1|why so\n\
             ERR|||200^Unsupported message type^HL70357|E||||why so\n",
        );
        check(
            "FHS|^~\\&\rMSH|^~\\&#|A|||||||5||2.7|9||AL|NE",
            AckCode::Accept,
            "MSH|^~\\&#|||A||20261124180000+0000||ACK|W7|P|2.7\nMSA|CA|5|why so|9\n",
        );
    }

    #[test]
    fn has_no_answer_without_a_header() {
        for bytes in [
            &b"junk"[..],
            b"",
            b"MSH",
            b"MSH|",
            b"MSHA^~\\&|",
            b"PID|1\rXMSH|^~\\&|",
        ] {
            assert_eq!(build(bytes, AckCode::Accept, "", "1", ""), None);
        }
    }

    #[test]
    fn keeps_bytes_of_any_character_set() {
        let ack = build(b"MSH|^~\\&|L\xE9on|||||||1", AckCode::Accept, "", "1", "");
        assert!(ack.unwrap().windows(4).any(|w| w == b"L\xE9on"));
    }
}
