//! HL7 v2 times to FHIR: the sender's precision and offset are kept; a time without an offset gets
//! the site zone's offset of that very date; a date stays a date.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// A FHIR date or dateTime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    pub text: String,
    /// Time and offset are part of it, so it may stand where an instant is wanted.
    pub is_instant: bool,
}

/// `YYYY[MM[DD[HH[MM[SS[.S+]]]]]][+/-ZZZZ]`; `None` for anything that is no such date.
pub(super) fn date_time(text: &str, zone: &TimeZone) -> Option<Moment> {
    let text = text.trim();
    let (local, offset) = match text.find(['+', '-']) {
        Some(at) => (text.get(..at)?, Some(offset_of(text.get(at..)?)?)),
        None => (text, None),
    };
    let (digits, fraction) = match local.split_once('.') {
        Some((digits, fraction)) => (digits, Some(fraction)),
        None => (local, None),
    };
    let all_digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(digits) || !fraction.is_none_or(all_digits) {
        return None;
    }
    if digits.len() <= 8 {
        let text = date_of(digits)?;
        let is_instant = false;
        return fraction.is_none().then_some(Moment { text, is_instant });
    }
    with_time(digits, fraction.unwrap_or_default(), offset, zone)
}

/// A date out of a date or a time, as for birth dates: `19900804000000` is `1990-08-04`.
pub(super) fn date(text: &str) -> Option<String> {
    let digits: String = text
        .trim()
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    date_of(digits.get(..digits.len().min(8))?)
}

/// `HH[MM[SS[.S+]]]` as a FHIR time; one with an offset has no FHIR form.
pub(super) fn time(text: &str) -> Option<String> {
    let text = text.trim();
    let (digits, fraction) = text.split_once('.').unwrap_or((text, ""));
    let [hour, minute, second] = clock(digits)?;
    let fraction = fraction_text(fraction)?;
    let midnight = DateTime::new(2000, 1, 1, hour, minute, second, 0).ok()?;
    Some(format!("{}{fraction}", midnight.time()))
}

fn date_of(digits: &str) -> Option<String> {
    let number = |from: usize, to: usize| digits.get(from..to)?.parse::<i8>().ok();
    let year_text = digits.get(..4)?;
    let year = year_text.parse::<i16>().ok().filter(|year| *year > 0)?;
    let month = if digits.len() > 4 { number(4, 6)? } else { 1 };
    let day = if digits.len() > 6 { number(6, 8)? } else { 1 };
    let _real = jiff::civil::Date::new(year, month, day).ok()?;
    match digits.len() {
        4 => Some(year_text.to_owned()),
        6 => Some(format!("{year_text}-{month:02}")),
        8 => Some(format!("{year_text}-{month:02}-{day:02}")),
        _ => None,
    }
}

/// FHIR wants seconds once there is a time: what is missing is zero, as R4 allows.
fn with_time(
    digits: &str,
    fraction: &str,
    offset: Option<String>,
    zone: &TimeZone,
) -> Option<Moment> {
    let date = date_of(digits.get(..8)?)?;
    let [hour, minute, second] = clock(digits.get(8..)?)?;
    let day: jiff::civil::Date = date.parse().ok()?;
    let local = day.at(hour, minute, second, 0);
    let offset = match offset {
        Some(offset) => offset,
        None => offset_text(zone.to_zoned_datetime(local).ok()?.offset().seconds()),
    };
    let fraction = fraction_text(fraction)?;
    Some(Moment {
        text: format!("{date}T{hour:02}:{minute:02}:{second:02}{fraction}{offset}"),
        is_instant: true,
    })
}

fn clock(digits: &str) -> Option<[i8; 3]> {
    if !matches!(digits.len(), 2 | 4 | 6) {
        return None;
    }
    let number = |from: usize, below: i8| match digits.get(from..from + 2) {
        Some(two) => two.parse::<i8>().ok().filter(|n| (0..below).contains(n)),
        None => Some(0),
    };
    Some([number(0, 24)?, number(2, 60)?, number(4, 60)?])
}

fn fraction_text(fraction: &str) -> Option<String> {
    let is_number = fraction.bytes().all(|b| b.is_ascii_digit());
    match fraction.len() {
        0 => Some(String::new()),
        1..=9 if is_number => Some(format!(".{fraction}")),
        _ => None,
    }
}

/// `+0530` to `+05:30`.
fn offset_of(text: &str) -> Option<String> {
    let digits = text.get(1..)?.replace(':', "");
    let sign = text.get(..1)?;
    let hour = digits.get(..2)?.parse::<u8>().ok()?;
    let minute = digits.get(2..).filter(|m| m.len() == 2)?;
    let minute = minute.parse::<u8>().ok()?;
    (hour <= 14 && minute < 60).then(|| format!("{sign}{hour:02}:{minute:02}"))
}

fn offset_text(seconds: i32) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.unsigned_abs() / 60;
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let moment = date_time(text, &zone).map(|m| m.text);
        assert_eq!(moment.as_deref(), expected, "{text}");
    }

    #[test]
    fn keeps_precision_and_offset() {
        check("2026", Some("2026"));
        check("202611", Some("2026-11"));
        check("20261124", Some("2026-11-24"));
        check("2026112418", Some("2026-11-24T18:00:00+01:00"));
        check("202611241847", Some("2026-11-24T18:47:00+01:00"));
        check("20260724184741", Some("2026-07-24T18:47:41+02:00"));
        check(
            "20261124184741.1200",
            Some("2026-11-24T18:47:41.1200+01:00"),
        );
        check("20261124184741+0530", Some("2026-11-24T18:47:41+05:30"));
        check("20261124184741.1-0800", Some("2026-11-24T18:47:41.1-08:00"));
        check("20261124+0100", Some("2026-11-24"));
    }

    #[test]
    fn refuses_what_is_no_date() {
        for text in [
            "",
            "0000",
            "20261332",
            "20260230",
            "2026-11-24",
            "202",
            "yesterday",
        ] {
            check(text, None);
        }
        for text in [
            "20261124256000",
            "20261124184741+99",
            "2026112.1",
            "20261124184741.x",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn reads_dates_and_times() {
        assert_eq!(date("19900804000000").as_deref(), Some("1990-08-04"));
        assert_eq!(date("1990").as_deref(), Some("1990"));
        assert_eq!(date("unknown"), None);
        assert_eq!(time("0915").as_deref(), Some("09:15:00"));
        assert_eq!(time("091530.25").as_deref(), Some("09:15:30.25"));
        assert_eq!((time("2515"), time("09+0100")), (None, None));
    }
}
