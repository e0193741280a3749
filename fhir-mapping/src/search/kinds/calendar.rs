//! Dates as half-open ranges of instants (R4 3.1.1.4.6), and the calendar buckets they touch.
//!
//! `2013-01` is the month in the site's zone; a time without offset is taken in that zone too.

use crate::search::Zone;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// Microseconds since 1970-01-01T00:00:00Z, `[low, high)`. Open ends are `i64::MIN` and `i64::MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::search) struct Span {
    pub(in crate::search) low: i64,
    pub(in crate::search) high: i64,
}

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
/// Years that have buckets of their own; a value outside of them is posted as unbounded.
pub(in crate::search) const BUCKET_YEARS: std::ops::Range<i16> = 1900..2100;

/// Reads `YYYY`, `YYYY-MM`, `YYYY-MM-DD` or a date-time of any precision.
pub(in crate::search) fn parse(text: &str, zone: &Zone) -> Option<Span> {
    match text.split_once('T') {
        None => parse_date(text, zone),
        Some((date, time)) => parse_time(&day_of(date)?, time, zone),
    }
}

fn parse_date(text: &str, zone: &Zone) -> Option<Span> {
    let mut parts = text.split('-');
    let year = digits(parts.next()?, 4)?;
    let (month, day) = (parts.next(), parts.next());
    if parts.next().is_some() {
        return None;
    }
    let start = Date::new(
        year,
        month.map_or(Some(1), |m| digits(m, 2)).and_then(small)?,
        day.map_or(Some(1), |d| digits(d, 2)).and_then(small)?,
    )
    .ok()?;
    let width = match (month, day) {
        (None, _) => 1.year(),
        (Some(_), None) => 1.month(),
        _ => 1.day(),
    };
    let low = instant(
        start.to_datetime(jiff::civil::Time::midnight()),
        zone.time(),
    )?;
    let high = match start.checked_add(width) {
        Ok(end) => instant(end.to_datetime(jiff::civil::Time::midnight()), zone.time())?,
        Err(_) => i64::MAX,
    };
    Some(Span { low, high })
}

fn day_of(text: &str) -> Option<Date> {
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let month = small(digits(month, 2)?)?;
    Date::new(digits(year, 4)?, month, small(digits(day, 2)?)?).ok()
}

/// `hh:mm[:ss[.f+]][Z|+hh:mm|-hh:mm]`. A `+` that a form decoded to a space is understood.
fn parse_time(day: &Date, text: &str, zone: &Zone) -> Option<Span> {
    let zone_at = text.find(['Z', '+', '-', ' ']).unwrap_or(text.len());
    let (clock, offset) = (text.get(..zone_at)?, text.get(zone_at..)?);
    let mut parts = clock.split(':');
    let (hour, minute, seconds) = (parts.next()?, parts.next()?, parts.next());
    if parts.next().is_some() {
        return None;
    }
    let (hour, minute) = (small(digits(hour, 2)?)?, small(digits(minute, 2)?)?);
    let at = day.to_datetime(jiff::civil::Time::new(hour, minute, 0, 0).ok()?);
    let start = if offset.is_empty() {
        instant(at, zone.time())?
    } else {
        instant(at, &TimeZone::UTC)?.checked_sub(offset_of(offset)?)?
    };
    let (after, width) = match seconds {
        None => (0, MINUTE),
        Some(text) => parse_seconds(text)?,
    };
    let low = start.checked_add(after)?;
    Some(Span {
        low,
        high: low.checked_add(width)?,
    })
}

/// Seconds with fraction: microseconds and the width of the last digit.
fn parse_seconds(text: &str) -> Option<(i64, i64)> {
    let (whole, fraction) = text
        .split_once('.')
        .map_or((text, None), |(w, f)| (w, Some(f)));
    let whole = i64::from(digits(whole, 2)?);
    if whole > 60 {
        return None;
    }
    let Some(fraction) = fraction else {
        return Some((whole * SECOND, SECOND));
    };
    if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mut micros = 0;
    let mut width = SECOND;
    for digit in fraction.bytes().take(6) {
        width /= 10;
        micros += i64::from(digit - b'0') * width;
    }
    Some((whole * SECOND + micros, width))
}

fn offset_of(text: &str) -> Option<i64> {
    if text == "Z" {
        return Some(0);
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
    (hours <= 14 && minutes < 60)
        .then(|| sign * (i64::from(hours) * 60 + i64::from(minutes)) * MINUTE)
}

fn digits(text: &str, length: usize) -> Option<i16> {
    let whole = text.len() == length && text.bytes().all(|b| b.is_ascii_digit());
    whole.then(|| text.parse().ok())?
}

fn small(number: i16) -> Option<i8> {
    i8::try_from(number).ok()
}

/// At the ends of the calendar, where the zone's instants leave it, the time is taken as UTC.
fn instant(at: DateTime, zone: &TimeZone) -> Option<i64> {
    if let Ok(instant) = zone.to_timestamp(at) {
        return Some(instant.as_microsecond());
    }
    let epoch = Date::constant(1970, 1, 1).at(0, 0, 0, 0);
    i64::try_from(at.duration_since(epoch).as_micros()).ok()
}

/// The day in UTC an instant falls on; `None` outside the years that have buckets.
pub(in crate::search) fn utc_day(micros: i64) -> Option<Date> {
    let day = Timestamp::from_microsecond(micros).ok()?;
    let day = TimeZone::UTC.to_datetime(day).date();
    BUCKET_YEARS.contains(&day.year()).then_some(day)
}

/// Start of a day in UTC.
pub(in crate::search) fn day_start(day: Date) -> Option<i64> {
    instant(
        day.to_datetime(jiff::civil::Time::midnight()),
        &TimeZone::UTC,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, zone: &str, expected: Option<(&str, &str)>) {
        let zone = Zone::of(TimeZone::get(zone).unwrap());
        let at = |t: &str| t.parse::<Timestamp>().unwrap().as_microsecond();
        let expected = expected.map(|(low, high)| Span {
            low: at(low),
            high: at(high),
        });
        assert_eq!(parse(text, &zone), expected, "{text} in {:?}", zone.time());
    }

    #[test]
    fn ranges() {
        let dar = "Africa/Dar_es_Salaam";
        for (text, zone, low, high) in [
            (
                "2013",
                "UTC",
                "2013-01-01T00:00:00Z",
                "2014-01-01T00:00:00Z",
            ),
            ("2013", dar, "2012-12-31T21:00:00Z", "2013-12-31T21:00:00Z"),
            (
                "2013-02",
                "Asia/Karachi",
                "2013-01-31T19:00:00Z",
                "2013-02-28T19:00:00Z",
            ),
            (
                "2012-02-29",
                "UTC",
                "2012-02-29T00:00:00Z",
                "2012-03-01T00:00:00Z",
            ),
            // The day that the clocks change has 23 hours.
            (
                "2024-03-31",
                "Europe/Berlin",
                "2024-03-30T23:00:00Z",
                "2024-03-31T22:00:00Z",
            ),
            (
                "2013-01-14T10:00",
                dar,
                "2013-01-14T07:00:00Z",
                "2013-01-14T07:01:00Z",
            ),
            (
                "2013-01-14T10:00Z",
                dar,
                "2013-01-14T10:00:00Z",
                "2013-01-14T10:01:00Z",
            ),
            (
                "2013-01-14T10:00:05+05:30",
                dar,
                "2013-01-14T04:30:05Z",
                "2013-01-14T04:30:06Z",
            ),
            (
                "2013-01-14T10:00:05 05:30",
                dar,
                "2013-01-14T04:30:05Z",
                "2013-01-14T04:30:06Z",
            ),
            (
                "2013-01-14T23:00:05-05:00",
                dar,
                "2013-01-15T04:00:05Z",
                "2013-01-15T04:00:06Z",
            ),
            (
                "2013-01-14T10:00:05.25Z",
                dar,
                "2013-01-14T10:00:05.25Z",
                "2013-01-14T10:00:05.26Z",
            ),
            (
                "2016-12-31T23:59:60Z",
                dar,
                "2017-01-01T00:00:00Z",
                "2017-01-01T00:00:01Z",
            ),
        ] {
            check(text, zone, Some((low, high)));
        }
    }

    #[test]
    fn refused() {
        for text in [
            "",
            "13",
            "20133",
            "2013-",
            "2013-1",
            "2013-13",
            "2013-02-30",
            "2013-02-03-04",
            "2013-02-03T",
            "2013-02-03T1:00",
            "2013-02-03T24:00",
            "2013-02-03T10:00:61",
            "2013-02-03T10:00:00.",
            "2013-02-03T10:00:00+0530",
            "2013-02-03T10:00+25:00",
            "2013-02T10:00",
            "\u{661}\u{662}",
            "today",
        ] {
            check(text, "UTC", None);
        }
    }
}
