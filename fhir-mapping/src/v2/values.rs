//! OBX-5 by its type OBX-2 to `value[x]` (guide: OBX[Observation] and the data type tables), units,
//! reference ranges. Decimals keep the sender's digits; nothing is converted or guessed.

use super::dates;
use super::segments::{Field, Segment};
use super::shape::{Shape, codeable};
use super::{Context, warning};
use crate::model::{IssueCode, Json};
use crate::terminology::units;

/// What OBX-5 holds.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Values {
    /// `valueQuantity` and so on with its content; several when OBX-5 repeats.
    pub values: Vec<(&'static str, Json)>,
    /// PDF reports (ED), for `presentedForm`.
    pub attachments: Vec<Json>,
    /// Pictures, pointers and other content that no element of R4 takes: it stays in the message.
    pub is_aside: bool,
}

/// Reads OBX-5.
pub(super) fn read(context: &mut Context<'_>, obx: &Segment, place: &str) -> Values {
    let kind = obx.field(2).text_or_empty();
    let field = obx.field(5);
    let mut out = Values::default();
    if field.is_empty() || field.is_deletion() {
        return out;
    }
    match kind.as_str() {
        "ED" => read_attachments(field, &mut out),
        "RP" => out.is_aside = true,
        "ST" | "TX" | "FT" | "" => out.values.extend(free_text(obx)),
        _ => {
            let mut reader = Reader {
                context,
                unit: unit_of(obx),
                place,
            };
            for repeat in field.repeats() {
                out.values.extend(reader.one(&kind, repeat));
            }
        }
    }
    if out.is_aside {
        let text = "a picture or pointer was left in the raw message: R4 has no element for it";
        context.note(warning("E-V2-14", IssueCode::Informational, place, text));
    }
    out
}

struct Reader<'c, 'a> {
    context: &'c mut Context<'a>,
    unit: Option<Unit>,
    place: &'c str,
}

impl Reader<'_, '_> {
    fn one(&mut self, kind: &str, field: Field<'_>) -> Option<(&'static str, Json)> {
        let zone = &self.context.connection.zone;
        let typed = match kind {
            "NM" => quantity_text(&field.text()?, self.unit.as_ref()).map(|q| ("valueQuantity", q)),
            "SN" => Some(structured(field, self.unit.as_ref())?),
            "CE" | "CWE" | "CNE" | "CF" | "IS" | "ID" => {
                let name = &self.context.connection.name;
                Some(("valueCodeableConcept", codeable(field, name)?))
            }
            "DT" | "DTM" | "TS" => {
                let moment = dates::date_time(&field.component(1).text()?, zone);
                moment.map(|m| ("valueDateTime", m.text.into()))
            }
            "TM" => dates::time(&field.text()?).map(|t| ("valueTime", t.into())),
            "DR" => period(field, zone).map(|p| ("valuePeriod", p)),
            "NR" => range(field, self.unit.as_ref()).map(|r| ("valueRange", r)),
            "VR" => {
                let ends = [
                    field.component(1).text()?,
                    field.component(2).text_or_empty(),
                ];
                Some(("valueString", ends.join("-").into()))
            }
            _ => None,
        };
        if typed.is_some() {
            return typed;
        }
        let text = "the value is not of the type that OBX-2 names; it was kept as text";
        let place = format!("{}-5", self.place);
        self.context
            .note(warning("E-V2-11", IssueCode::Value, &place, text));
        Some(("valueString", field.text()?.into()))
    }
}

/// Text lines; a text that is a plain number with a unit is a number (many analyzers send all as ST).
fn free_text(obx: &Segment) -> Option<(&'static str, Json)> {
    let lines: Vec<String> = obx.field(5).repeats().filter_map(Field::text).collect();
    let unit = unit_of(obx);
    if let ([line], Some(unit)) = (lines.as_slice(), &unit)
        && let Some(quantity) = quantity_text(line, Some(unit))
    {
        return Some(("valueQuantity", quantity));
    }
    (!lines.is_empty()).then(|| ("valueString", lines.join("\n").into()))
}

/// SN: comparator, number, separator, number. What has no FHIR type becomes text, as the guide says.
fn structured(field: Field<'_>, unit: Option<&Unit>) -> Option<(&'static str, Json)> {
    let part = |n: usize| field.component(n).text_or_empty();
    let (comparator, first, separator, second) = (part(1), part(2), part(3), part(4));
    let numbers = (decimal(&first), decimal(&second));
    let typed = match (comparator.as_str(), separator.as_str(), numbers) {
        ("<>", _, _) => None,
        ("", ":" | "/", (Some(low), Some(high))) => {
            let sides = [
                ("numerator", quantity(&low, "", unit)),
                ("denominator", quantity(&high, "", None)),
            ];
            Some(("valueRatio", Json::object(sides)))
        }
        ("", "-", (Some(low), Some(high))) => {
            let ends = [
                ("low", quantity(&low, "", unit)),
                ("high", quantity(&high, "", unit)),
            ];
            Some(("valueRange", Json::object(ends)))
        }
        ("" | "=" | "<" | ">" | "<=" | ">=", "", (Some(number), None)) if second.is_empty() => {
            let comparator = comparator.trim_start_matches(|c| comparator == "=" && c == '=');
            Some(("valueQuantity", quantity(&number, comparator, unit)))
        }
        _ => None,
    };
    typed.or_else(|| {
        let unit = unit.map(|unit| unit.text.clone()).unwrap_or_default();
        let parts = [comparator, first, separator, second, unit];
        let parts: Vec<String> = parts.into_iter().filter(|p| !p.is_empty()).collect();
        (!parts.is_empty()).then(|| ("valueString", parts.join(" ").into()))
    })
}

fn period(field: Field<'_>, zone: &jiff::tz::TimeZone) -> Option<Json> {
    let end = |n: usize| dates::date_time(&field.component(n).sub(1).text()?, zone);
    Shape::default()
        .with_some("start", end(1).map(|m| m.text))
        .with_some("end", end(2).map(|m| m.text))
        .json_if_any()
}

fn range(field: Field<'_>, unit: Option<&Unit>) -> Option<Json> {
    let end = |n: usize| Some(quantity(&decimal(&field.component(n).text()?)?, "", unit));
    Shape::default()
        .with_some("low", end(1))
        .with_some("high", end(2))
        .json_if_any()
}

/// ED: source application, type, subtype, encoding, data. A Base64 PDF is a report's form.
fn read_attachments(field: Field<'_>, out: &mut Values) {
    for repeat in field.repeats() {
        let part = |n: usize| repeat.component(n).text_or_empty();
        let is_pdf = part(3).eq_ignore_ascii_case("PDF") || part(2).eq_ignore_ascii_case("PDF");
        let data: String = part(5).split_whitespace().collect();
        let is_base64 = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
        let whole = !data.is_empty() && data.len().is_multiple_of(4) && data.bytes().all(is_base64);
        if is_pdf && part(4).eq_ignore_ascii_case("Base64") && whole {
            out.attachments.push(Json::object([
                ("contentType", "application/pdf".into()),
                ("data", data.into()),
            ]));
        } else {
            out.is_aside = true;
        }
    }
}

/// A unit: the text as sent and its UCUM code, if one is known.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Unit {
    pub text: String,
    pub code: Option<String>,
}

/// OBX-6. `10^3/uL` is cut at its caret by the component separator: the pieces are joined again.
pub(super) fn unit_of(obx: &Segment) -> Option<Unit> {
    let field = obx.field(6).first();
    let part = |n: usize| field.component(n).text();
    let is_cut = matches!(part(1)?.as_str(), "10" | "x10" | "X10" | "*10")
        && part(2).is_some_and(|p| p.starts_with(|c: char| c.is_ascii_digit()));
    let text = match (is_cut, part(1), part(2)) {
        (true, Some(ten), Some(power)) => format!("{ten}^{power}"),
        (_, first, _) => first?,
    };
    let declared = (part(3).as_deref() == Some("UCUM")).then(|| text.clone());
    let declared = declared.filter(|code| !code.contains(char::is_whitespace));
    let code = units::ucum(&text).or(declared);
    Some(Unit { text, code })
}

/// A Quantity of an exact decimal text.
fn quantity(value: &str, comparator: &str, unit: Option<&Unit>) -> Json {
    let comparator = (!comparator.is_empty()).then_some(comparator);
    let code = unit.and_then(|unit| unit.code.as_deref());
    Shape::default()
        .with("value", Json::Number(value.into()))
        .with_some("comparator", comparator)
        .with_some("unit", unit.map(|unit| unit.text.as_str()))
        .with_some("system", code.map(|_| units::SYSTEM))
        .with_some("code", code)
        .json()
}

/// `4.50`, `<0.5`, `>= 100`.
fn quantity_text(text: &str, unit: Option<&Unit>) -> Option<Json> {
    let text = text.trim();
    let comparators = ["<=", ">=", "<", ">"];
    let comparator = comparators.into_iter().find(|c| text.starts_with(c));
    let number = text.strip_prefix(comparator.unwrap_or_default())?;
    Some(quantity(
        &decimal(number)?,
        comparator.unwrap_or_default(),
        unit,
    ))
}

/// A number in the form JSON wants, digits as sent: `+5` is `5`, `.5` is `0.5`, `007` is `7`,
/// `4.50` stays. `None` for anything that is no number.
pub(super) fn decimal(text: &str) -> Option<String> {
    let text = text.trim();
    let negative = text.starts_with('-');
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let all_digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    let has_digit = !whole.is_empty() || !fraction.is_empty();
    if !has_digit || !all_digits(whole) || !all_digits(fraction) || text.len() > 60 {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let sign = if negative { "-" } else { "" };
    Some(match fraction {
        "" => format!("{sign}{whole}"),
        fraction => format!("{sign}{whole}.{fraction}"),
    })
}

/// OBX-7: the text always, low and high when it is plainly `a-b`, `<b` or `>a`.
pub(super) fn reference_range(obx: &Segment) -> Option<Json> {
    let text = obx.field(7).text()?;
    let unit = unit_of(obx);
    let bare = text
        .trim()
        .trim_start_matches(['(', '['])
        .trim_end_matches([')', ']']);
    let end = |t: &str| decimal(t).map(|number| quantity(&number, "", unit.as_ref()));
    let (low, high) = match bare.strip_prefix(['<', '≤']) {
        Some(high) => (None, end(high.trim_start_matches('='))),
        None => match bare.strip_prefix(['>', '≥']) {
            Some(low) => (end(low.trim_start_matches('=')), None),
            None => match two_numbers(bare) {
                Some((low, high)) => (end(low), end(high)),
                None => (None, None),
            },
        },
    };
    let range = Shape::default()
        .with_some("low", low)
        .with_some("high", high);
    Some(range.with("text", text).json())
}

/// Splits `-2.0 - 2.0` at the dash between the numbers.
fn two_numbers(text: &str) -> Option<(&str, &str)> {
    let dashes = text
        .char_indices()
        .filter(|(at, c)| *at > 0 && matches!(c, '-' | '–' | '~'));
    let mut splits =
        dashes.filter_map(|(at, c)| Some((text.get(..at)?, text.get(at + c.len_utf8()..)?)));
    splits.find(|(low, high)| decimal(low).is_some() && decimal(high).is_some())
}

#[cfg(test)]
mod tests {
    use super::super::tests::obx_of;
    use super::*;
    use crate::model::format;

    /// The value of an OBX with this type, value, unit and range.
    fn check(fields: &str, expected: &str) {
        let obx = obx_of(&format!("OBX|1|{fields}"));
        let mut issues = Vec::new();
        let read =
            super::super::tests::with_context(&mut issues, |context| read(context, &obx, "OBX[1]"));
        let shown: Vec<String> = read
            .values
            .iter()
            .map(|(key, value)| format!("{key} {}", format(value)))
            .chain(read.is_aside.then(|| "aside".to_owned()))
            .chain(issues.iter().map(|i| i.number.to_owned()))
            .collect();
        assert_eq!(shown.join("; "), expected, "{fields}");
    }

    #[test]
    fn numbers_keep_their_digits() {
        check(
            "NM|a||7.20|g/dL",
            r#"valueQuantity {"value":7.20,"unit":"g/dL","system":"http://unitsofmeasure.org","code":"g/dL"}"#,
        );
        check("NM|a||.5|", r#"valueQuantity {"value":0.5}"#);
        check("NM|a||+007|", r#"valueQuantity {"value":7}"#);
        check(
            "NM|a||<0.01|furlong",
            r#"valueQuantity {"value":0.01,"comparator":"<","unit":"furlong"}"#,
        );
        check(
            "NM|a||4.8|10^6/uL",
            r#"valueQuantity {"value":4.8,"unit":"10^6/uL","system":"http://unitsofmeasure.org","code":"10*6/uL"}"#,
        );
        check("NM|a||***.**|g/L", r#"valueString "***.**"; E-V2-11"#);
        check("NM|a||4,5|g/L", r#"valueString "4,5"; E-V2-11"#);
        check(
            "NM|a||1~2|",
            r#"valueQuantity {"value":1}; valueQuantity {"value":2}"#,
        );
        check("NM|a|||g/L", "");
        check("NM|a||\"\"|g/L", "");
    }

    #[test]
    fn structured_numerics_follow_the_guide() {
        check(
            "SN|a||>^100|mg/dL",
            r#"valueQuantity {"value":100,"comparator":">","unit":"mg/dL","system":"http://unitsofmeasure.org","code":"mg/dL"}"#,
        );
        check(
            "SN|a||^1^:^128|",
            r#"valueRatio {"numerator":{"value":1},"denominator":{"value":128}}"#,
        );
        check(
            "SN|a||^2^-^4|/uL",
            r#"valueRange {"low":{"value":2,"unit":"/uL","system":"http://unitsofmeasure.org","code":"/uL"},"high":{"value":4,"unit":"/uL","system":"http://unitsofmeasure.org","code":"/uL"}}"#,
        );
        check("SN|a||^2^+|", r#"valueString "2 +""#);
        check("SN|a||<>^5|", r#"valueString "<> 5""#);
    }

    #[test]
    fn other_types() {
        check(
            "CWE|a||POS^Positive^L^260373001^Detected^SCT|",
            r#"valueCodeableConcept {"coding":[{"system":"urn:wayside:device:bench","code":"POS","display":"Positive"},{"system":"http://snomed.info/sct","code":"260373001","display":"Detected"}],"text":"Positive"}"#,
        );
        check(
            "IS|a||O|",
            r#"valueCodeableConcept {"coding":[{"system":"urn:wayside:device:bench","code":"O"}],"text":"O"}"#,
        );
        check("ST|a||few \\T\\ pale|", r#"valueString "few & pale""#);
        check(
            "ST|a||12.5|g/dL",
            r#"valueQuantity {"value":12.5,"unit":"g/dL","system":"http://unitsofmeasure.org","code":"g/dL"}"#,
        );
        check("ST|a||12.5|", r#"valueString "12.5""#);
        check("TX|a||one~two|", r#"valueString "one\ntwo""#);
        check("FT|a||one\\.br\\two|", r#"valueString "one\ntwo""#);
        check("DT|a||20260801|", r#"valueDateTime "2026-08-01""#);
        check(
            "TS|a||202608011200|",
            r#"valueDateTime "2026-08-01T12:00:00+00:00""#,
        );
        check("TM|a||0915|", r#"valueTime "09:15:00""#);
        check(
            "DR|a||20260801^20260802|",
            r#"valuePeriod {"start":"2026-08-01","end":"2026-08-02"}"#,
        );
        check(
            "NR|a||1^2|",
            r#"valueRange {"low":{"value":1},"high":{"value":2}}"#,
        );
        check("VR|a||a^c|", r#"valueString "a-c""#);
        check("XPN|a||Doe^Jo|", r#"valueString "Doe^Jo"; E-V2-11"#);
        check("ED|a||^Image^BMP^Base64^Qk0=|", "aside; E-V2-14");
        check("RP|a||http://x|", "aside; E-V2-14");
    }

    #[test]
    fn ranges_are_read_when_plain() {
        let check = |text: &str, expected: &str| {
            let obx = obx_of(&format!("OBX|1|NM|a||1||{text}"));
            let range = reference_range(&obx)
                .map(|r| format(&r))
                .unwrap_or_default();
            assert_eq!(range, expected);
        };
        check(
            "4.00-10.00",
            r#"{"low":{"value":4.00},"high":{"value":10.00},"text":"4.00-10.00"}"#,
        );
        check(
            "-2 - 2",
            r#"{"low":{"value":-2},"high":{"value":2},"text":"-2 - 2"}"#,
        );
        check("<5.0", r#"{"high":{"value":5.0},"text":"<5.0"}"#);
        check(">=60", r#"{"low":{"value":60},"text":">=60"}"#);
        check("negative", r#"{"text":"negative"}"#);
        check("", "");
    }
}
