//! Date parameters: dates, date-times, instants, periods and timings, compared as ranges.

use super::calendar::{self, BUCKET_YEARS, Span};
use crate::model::Json;
use crate::search::terms::Sink;
use crate::search::{Asking, Zone};
use jiff::ToSpan;
use jiff::civil::Date;

/// A prefix and the range of the asked date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::search) struct DateTest {
    prefix: Prefix,
    asked: Span,
}

/// Comparisons (R4 3.1.1.4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::search) enum Prefix {
    Eq,
    Ne,
    Gt,
    Lt,
    Ge,
    Le,
    Sa,
    Eb,
    Ap,
    /// Overlaps: `po` of filters.
    Po,
    /// The value includes what is asked: `co` of filters.
    Co,
}

/// A value that touches at most this many buckets of a size is posted under each of them.
const DAYS_MAX: usize = 7;
const MONTHS_MAX: usize = 3;
const YEARS_MAX: usize = 5;

impl Prefix {
    /// The prefix of a value and the rest.
    pub(in crate::search) fn split(text: &str) -> (Prefix, &str) {
        const ALL: [(&str, Prefix); 9] = [
            ("eq", Prefix::Eq),
            ("ne", Prefix::Ne),
            ("gt", Prefix::Gt),
            ("lt", Prefix::Lt),
            ("ge", Prefix::Ge),
            ("le", Prefix::Le),
            ("sa", Prefix::Sa),
            ("eb", Prefix::Eb),
            ("ap", Prefix::Ap),
        ];
        ALL.iter()
            .find_map(|(name, prefix)| Some((*prefix, text.strip_prefix(name)?)))
            .unwrap_or((Prefix::Eq, text))
    }
}

pub(in crate::search) fn collect(value: &Json, zone: &Zone, found: &mut dyn FnMut(Span)) {
    if let Some(text) = value.as_str() {
        calendar::parse(text, zone).into_iter().for_each(found);
        return;
    }
    let Some(object) = value.as_object() else {
        return;
    };
    let bound = |key| {
        let text = object.get(key).and_then(Json::as_str)?;
        calendar::parse(text, zone)
    };
    if object.get("start").is_some() || object.get("end").is_some() {
        let low = bound("start").map_or(i64::MIN, |s| s.low);
        let high = bound("end").map_or(i64::MAX, |s| s.high);
        // A period that ends before it starts is taken as its first instant.
        let high = high.max(low.saturating_add(1));
        found(Span { low, high });
    } else if object.get("event").is_some() || object.get("repeat").is_some() {
        collect_timing(value, zone, found);
    }
}

/// Only the outer limits of a Timing matter (R4 3.1.1.4.6).
fn collect_timing(value: &Json, zone: &Zone, found: &mut dyn FnMut(Span)) {
    let mut limits: Option<Span> = None;
    let mut widen = |span: Span| {
        limits = Some(limits.map_or(span, |l| Span {
            low: l.low.min(span.low),
            high: l.high.max(span.high),
        }));
    };
    for event in value.items("event") {
        collect(event, zone, &mut widen);
    }
    if let Some(bounds) = value.at(&["repeat", "boundsPeriod"]) {
        collect(bounds, zone, &mut widen);
    }
    limits.into_iter().for_each(found);
}

/// Posts the calendar buckets that a value touches: `D` days, `M` months, `Y` years. A value too
/// wide for days is posted in its months as `m`, one too wide for months in its years as `y`.
pub(in crate::search) fn post(span: Span, sink: &mut Sink) {
    let ends = (calendar::utc_day(span.low), calendar::utc_day(last(span)));
    let (Some(first), Some(last)) = ends else {
        return sink.overflow();
    };
    let days = buckets(first, last, DAYS_MAX, |day| day.tomorrow().ok());
    let months = buckets(month(first), last, MONTHS_MAX, next_month);
    let years = buckets(year(first), last, YEARS_MAX, next_year);
    let Some(years) = years else {
        return sink.overflow();
    };
    for at in years {
        sink.put('Y', &[&year_text(at)]);
        if months.is_none() {
            sink.put('y', &[&year_text(at)]);
        }
    }
    for at in months.into_iter().flatten() {
        sink.put('M', &[&month_text(at)]);
        if days.is_none() {
            sink.put('m', &[&month_text(at)]);
        }
    }
    for at in days.into_iter().flatten() {
        sink.put('D', &[&day_text(at)]);
    }
}

/// The last instant within a span.
fn last(span: Span) -> i64 {
    span.high.saturating_sub(1).max(span.low)
}

/// The starts of the buckets from `first` to `last`; `None` when there are more than `max`.
fn buckets(
    first: Date,
    last: Date,
    max: usize,
    next: fn(Date) -> Option<Date>,
) -> Option<Vec<Date>> {
    let mut starts = Vec::new();
    let mut at = Some(first);
    while let Some(start) = at.filter(|start| *start <= last) {
        if starts.len() == max {
            return None;
        }
        starts.push(start);
        at = next(start);
    }
    Some(starts)
}

impl DateTest {
    pub(in crate::search) fn parse(text: &str, asking: &Asking) -> Option<DateTest> {
        let (prefix, date) = Prefix::split(text);
        let asked = calendar::parse(date, asking.zone)?;
        let asked = match prefix {
            Prefix::Ap => asked.approximate(asking.now_ms),
            _ => asked,
        };
        Some(DateTest { prefix, asked })
    }

    /// `Po` or `Co`, which no request has before its date.
    pub(in crate::search) fn of_filter(
        prefix: Prefix,
        text: &str,
        zone: &Zone,
    ) -> Option<DateTest> {
        let asked = calendar::parse(text, zone)?;
        Some(DateTest { prefix, asked })
    }

    pub(in crate::search) fn matches(self, value: Span) -> bool {
        let asked = self.asked;
        let contains = asked.low <= value.low && value.high <= asked.high;
        match self.prefix {
            Prefix::Eq => contains,
            Prefix::Ne => !contains,
            Prefix::Gt => value.high > asked.high,
            Prefix::Lt => value.low < asked.low,
            // A value that reaches into the asked range counts as equal or later: an encounter that
            // ended on the day asked for must not be missed.
            Prefix::Ge => value.high > asked.low,
            Prefix::Le => value.low < asked.high,
            Prefix::Sa => value.low >= asked.high,
            Prefix::Eb => value.high <= asked.low,
            Prefix::Ap | Prefix::Po => asked.overlaps(value),
            Prefix::Co => value.low <= asked.low && asked.high <= value.high,
        }
    }

    /// Posts terms of which every match has one; false when they would be too many.
    pub(in crate::search) fn candidates(self, sink: &mut Sink) -> bool {
        // Each match overlaps this range.
        let range = match self.prefix {
            Prefix::Ne => return false,
            Prefix::Eq | Prefix::Ap | Prefix::Po | Prefix::Co => self.asked,
            Prefix::Gt | Prefix::Sa => Span {
                low: self.asked.high,
                high: i64::MAX,
            },
            Prefix::Ge => Span {
                low: self.asked.low,
                high: i64::MAX,
            },
            Prefix::Lt | Prefix::Eb => Span {
                low: i64::MIN,
                high: self.asked.low,
            },
            Prefix::Le => Span {
                low: i64::MIN,
                high: self.asked.high,
            },
        };
        cover(range, sink);
        true
    }
}

impl Span {
    /// Widened on both sides by a tenth of the gap between now and the range (R4 3.1.1.4.5). Without
    /// a clock, by its own width.
    fn approximate(self, now_ms: Option<i64>) -> Span {
        let by = match now_ms.map(|now_ms| now_ms.saturating_mul(1000)) {
            Some(now) if now < self.low => self.low.saturating_sub(now) / 10,
            Some(now) => now.saturating_sub(self.high).max(0) / 10,
            None => self.high.saturating_sub(self.low),
        };
        Span {
            low: self.low.saturating_sub(by),
            high: self.high.saturating_add(by),
        }
    }

    fn overlaps(self, other: Span) -> bool {
        self.low < other.high && other.low < self.high
    }
}

/// Posts the fewest buckets that cover a range. Instants outside the years with buckets need none:
/// their values are in the overflow, which every search looks at.
fn cover(range: Span, sink: &mut Sink) {
    let start = Date::constant(BUCKET_YEARS.start, 1, 1);
    let end = Date::constant(BUCKET_YEARS.end - 1, 12, 31);
    let clamp = |micros: i64, otherwise: Date| calendar::utc_day(micros).unwrap_or(otherwise);
    let is_past = |micros: i64| calendar::day_start(start).is_some_and(|s| micros < s);
    let outside = |micros| if is_past(micros) { start } else { end };
    let mut at = clamp(range.low, outside(range.low));
    let last = last(range);
    let last = clamp(last, outside(last));
    while at <= last {
        let year_end = next_year(at).is_none_or(|next| next > last && !is_year_end(last));
        let month_end = next_month(at).is_none_or(|next| next > last && !is_month_end(last));
        let next = if at == year(at) && !year_end {
            sink.put('Y', &[&year_text(at)]);
            next_year(at)
        } else if at == month(at) && !month_end {
            sink.put('M', &[&month_text(at)]);
            sink.put('y', &[&year_text(at)]);
            next_month(at)
        } else {
            sink.put('D', &[&day_text(at)]);
            sink.put('m', &[&month_text(at)]);
            sink.put('y', &[&year_text(at)]);
            at.tomorrow().ok()
        };
        let Some(next) = next else { return };
        at = next;
    }
}

fn month(day: Date) -> Date {
    day.first_of_month()
}

fn year(day: Date) -> Date {
    day.first_of_year()
}

fn next_month(day: Date) -> Option<Date> {
    month(day).checked_add(1.month()).ok()
}

fn next_year(day: Date) -> Option<Date> {
    year(day).checked_add(1.year()).ok()
}

fn is_month_end(day: Date) -> bool {
    day == day.last_of_month()
}

fn is_year_end(day: Date) -> bool {
    day == day.last_of_year()
}

/// `2024-01-10`
pub(in crate::search) fn day_text(day: Date) -> String {
    let mut text = month_text(day);
    text.push('-');
    push_digits(day.day().into(), 2, &mut text);
    text
}

/// `2024-01`
pub(in crate::search) fn month_text(day: Date) -> String {
    let mut text = year_text(day);
    text.push('-');
    push_digits(day.month().into(), 2, &mut text);
    text
}

pub(in crate::search) fn year_text(day: Date) -> String {
    let mut text = String::with_capacity(10);
    push_digits(day.year(), 4, &mut text);
    text
}

/// By hand: formatting machinery takes a good part of the time of posting otherwise.
fn push_digits(number: i16, length: u32, text: &mut String) {
    for position in (0..length).rev() {
        let digit = u32::from(number.unsigned_abs()) / 10_u32.pow(position) % 10;
        text.extend(char::from_digit(digit, 10));
    }
}
