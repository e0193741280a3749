//! Dates, times and date-times of any precision, compared as far as both are known (N1 6.2).

use jiff::civil::{Date, DateTime, Time};
use jiff::{Span, ToSpan};
use std::cmp::Ordering;

/// A date, time or date-time as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    pub(super) kind: MomentKind,
    /// Year, month, day, hour, minute, and the second in nanoseconds.
    fields: [i64; 6],
    /// How many fields are known, counted from the first of its kind.
    pub(super) known: usize,
    /// Digits of the second's fraction.
    pub(super) fraction: usize,
    /// Minutes east of UTC.
    pub(super) offset: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MomentKind {
    Date,
    DateTime,
    Time,
}

const SECOND: i64 = 1_000_000_000;

/// Digits of a date-time or a time, by how many of its fields are known; a fraction adds its own.
pub(super) const DATE_DIGITS: [usize; 6] = [4, 6, 8, 10, 12, 14];
pub(super) const CLOCK_DIGITS: [usize; 3] = [2, 4, 6];

impl Moment {
    /// The part of a literal after `@`: `2012-04`, `2012T`, `T14:30`.
    pub(super) fn literal(text: &str) -> Option<Moment> {
        if let Some(clock) = text.strip_prefix('T') {
            return Moment::time(clock);
        }
        if text.contains('T') {
            return Moment::date_time(text.strip_suffix('T').unwrap_or(text));
        }
        Moment::date(text)
    }

    /// `2012`, `2012-04`, `2012-04-05`.
    pub(super) fn date(text: &str) -> Option<Moment> {
        let mut moment = Moment::blank(MomentKind::Date);
        moment.read_date(text)?;
        Some(moment)
    }

    /// A date, or a full date with a time and perhaps an offset.
    pub(super) fn date_time(text: &str) -> Option<Moment> {
        let mut moment = Moment::blank(MomentKind::DateTime);
        let Some((date, time)) = text.split_once('T') else {
            moment.read_date(text)?;
            return Some(moment);
        };
        moment.read_date(date)?;
        if moment.known != 3 {
            return None;
        }
        let zone_at = time.find(['Z', '+', '-']).unwrap_or(time.len());
        moment.read_clock(time.get(..zone_at)?)?;
        moment.offset = match time.get(zone_at..)? {
            "" => None,
            text => Some(offset(text)?),
        };
        Some(moment)
    }

    /// `14`, `14:30`, `14:30:05.25`.
    pub(super) fn time(text: &str) -> Option<Moment> {
        let mut moment = Moment::blank(MomentKind::Time);
        moment.known = 3;
        moment.read_clock(text)?;
        moment.known -= 3;
        Some(moment)
    }

    fn blank(kind: MomentKind) -> Moment {
        Moment {
            kind,
            fields: [1, 1, 1, 0, 0, 0],
            known: 0,
            fraction: 0,
            offset: None,
        }
    }

    fn read_date(&mut self, text: &str) -> Option<()> {
        let mut parts = text.split('-');
        let widths = [4, 2, 2];
        for (field, width) in self.fields.iter_mut().zip(widths) {
            let Some(part) = parts.next() else { break };
            *field = digits(part, width)?;
            self.known += 1;
        }
        let [year, month, day, ..] = self.fields;
        let fits = civil(year, month, day).is_some() && parts.next().is_none();
        fits.then_some(())
    }

    fn read_clock(&mut self, text: &str) -> Option<()> {
        let (clock, fraction) = match text.split_once('.') {
            Some((clock, fraction)) => (clock, Some(fraction)),
            None => (text, None),
        };
        let mut parts = clock.split(':');
        for (field, most) in self.fields.iter_mut().skip(3).zip([23, 59, 60]) {
            let Some(part) = parts.next() else { break };
            *field = digits(part, 2).filter(|n| *n <= most)?;
            self.known += 1;
        }
        let [.., second] = &mut self.fields;
        *second *= SECOND;
        if let Some(fraction) = fraction {
            if self.known != 6 || fraction.is_empty() {
                return None;
            }
            self.fraction = fraction.len();
            let mut unit = SECOND;
            for digit in fraction.bytes().take(9) {
                unit /= 10;
                *second += i64::from(digit.checked_sub(b'0').filter(|d| *d <= 9)?) * unit;
            }
        }
        parts.next().is_none().then_some(())
    }

    /// Which is later; `None` when one is not known far enough to tell.
    pub(super) fn order(&self, other: &Moment) -> Option<Ordering> {
        let is_clock = |m: &Moment| m.kind == MomentKind::Time;
        if is_clock(self) != is_clock(other) {
            return None;
        }
        if is_clock(self) {
            return self.order_fields(other, 3);
        }
        match (self.has_clock(), other.has_clock()) {
            (true, true) if self.offset.is_some() == other.offset.is_some() => {
                self.in_utc()?.order_fields(&other.in_utc()?, 0)
            }
            (true, true) => self.order_days(other),
            _ => self.order_fields(other, 0),
        }
    }

    fn has_clock(&self) -> bool {
        self.kind == MomentKind::DateTime && self.known > 3
    }

    /// One has an offset, the other none: only days further apart than any offset are told.
    fn order_days(&self, other: &Moment) -> Option<Ordering> {
        let (one, two) = (self.civil_day()?, other.civil_day()?);
        let days = two.since(one).ok()?.get_days();
        match days {
            2.. => Some(Ordering::Less),
            ..=-2 => Some(Ordering::Greater),
            _ => None,
        }
    }

    fn order_fields(&self, other: &Moment, from: usize) -> Option<Ordering> {
        let both = self.known.min(other.known);
        let pairs = self.fields.iter().zip(&other.fields).skip(from).take(both);
        for (one, two) in pairs {
            match one.cmp(two) {
                Ordering::Equal => {}
                unequal => return Some(unequal),
            }
        }
        (self.known == other.known).then_some(Ordering::Equal)
    }

    fn in_utc(&self) -> Option<Moment> {
        let Some(offset) = self.offset.filter(|o| *o != 0) else {
            return Some(self.clone());
        };
        let moved = self.civil()?.checked_sub(offset.minutes()).ok()?;
        let mut moment = self.with(moved);
        moment.offset = Some(0);
        Some(moment)
    }

    /// What no text of an equal moment differs in.
    pub(super) fn hash_fields(&self) -> [i64; 6] {
        self.in_utc().map_or(self.fields, |utc| utc.fields)
    }

    fn civil_day(&self) -> Option<Date> {
        let [year, month, day, ..] = self.fields;
        civil(year, month, day)
    }

    fn civil(&self) -> Option<DateTime> {
        let [.., hour, minute, second] = self.fields;
        // A leap second is the last of its minute.
        let second = second.min(60 * SECOND - 1);
        let clock = Time::new(
            i8::try_from(hour).ok()?,
            i8::try_from(minute).ok()?,
            i8::try_from(second / SECOND).ok()?,
            i32::try_from(second % SECOND).ok()?,
        );
        Some(self.civil_day()?.to_datetime(clock.ok()?))
    }

    fn with(&self, at: DateTime) -> Moment {
        let mut moment = self.clone();
        moment.fields = [
            i64::from(at.year()),
            i64::from(at.month()),
            i64::from(at.day()),
            i64::from(at.hour()),
            i64::from(at.minute()),
            i64::from(at.second()) * SECOND + i64::from(at.subsec_nanosecond()),
        ];
        moment
    }

    /// Later by so many of a calendar unit; a unit finer than the moment is known counts in whole
    /// units of its precision. `None` when the unit is none of the calendar, or the year unknown.
    pub(super) fn plus(&self, count: i64, unit: &str) -> Option<Moment> {
        let (count, unit) = self.whole_units(count, unit)?;
        let span = Span::new();
        let span = match unit {
            "years" => span.try_years(count),
            "months" => span.try_months(count),
            "weeks" => span.try_weeks(count),
            "days" => span.try_days(count),
            "hours" => span.try_hours(count),
            "minutes" => span.try_minutes(count),
            "seconds" => span.try_seconds(count),
            "milliseconds" => span.try_milliseconds(count),
            _ => return None,
        };
        let (start, span) = (self.civil()?, span.ok()?);
        if self.kind == MomentKind::Time {
            let clock = start.time().wrapping_add(span);
            return Some(self.with(start.date().to_datetime(clock)));
        }
        let moved = start.checked_add(span).ok()?;
        let mut moved = self.with(moved);
        for (field, blank) in moved
            .fields
            .iter_mut()
            .zip([1, 1, 1, 0, 0, 0])
            .skip(self.known)
        {
            *field = blank;
        }
        Some(moved)
    }

    fn whole_units<'u>(&self, count: i64, unit: &'u str) -> Option<(i64, &'u str)> {
        if self.kind == MomentKind::Time {
            let fits = matches!(unit, "hours" | "minutes" | "seconds" | "milliseconds");
            return fits.then_some((count, unit));
        }
        Some(match (self.known, unit) {
            (1, "months") => (count / 12, "years"),
            (1, "weeks") => (count * 7 / 365, "years"),
            (1, "days") => (count / 365, "years"),
            (2, "weeks") => (count * 7 / 30, "months"),
            (2, "days") => (count / 30, "months"),
            (3, "hours") => (count / 24, "days"),
            (3, "minutes") => (count / (24 * 60), "days"),
            (3, "seconds") => (count / (24 * 60 * 60), "days"),
            (1 | 2, "hours" | "minutes" | "seconds" | "milliseconds") => return None,
            _ => (count, unit),
        })
    }

    /// The first instant it may mean (`is_low`) or the last, to the millisecond.
    pub(super) fn boundary(&self, is_low: bool) -> Option<Moment> {
        let mut moment = self.clone();
        let mut first = [1, 1, 1, 0, 0, 0];
        let mut last = [9999, 12, 31, 23, 59, 59 * SECOND + 999_000_000];
        let from = if self.kind == MomentKind::Time {
            self.known + 3
        } else {
            self.known
        };
        if !is_low && from < 3 {
            let [year, month, ..] = self.fields;
            let month = if from == 2 { month } else { 12 };
            let days = i64::from(civil(year, month, 1)?.days_in_month());
            if let Some(day) = last.get_mut(2) {
                *day = days;
            }
        }
        let edge = if is_low { &mut first } else { &mut last };
        for (field, edge) in moment.fields.iter_mut().zip(edge).skip(from) {
            *field = *edge;
        }
        if self.known == 6 && !is_low && self.fraction < 3 {
            let [.., second] = &mut moment.fields;
            let unit = 10_i64.pow(9 - u32::try_from(self.fraction).ok()?);
            *second += unit - 1_000_000;
        }
        match self.kind {
            MomentKind::Date => moment.known = 3,
            MomentKind::Time => (moment.known, moment.fraction) = (3, 3),
            MomentKind::DateTime => {
                (moment.known, moment.fraction) = (6, 3);
                let widest = if is_low { 14 * 60 } else { -12 * 60 };
                moment.offset = self.offset.or(Some(widest));
            }
        }
        Some(moment)
    }

    /// The same, known to so many digits: 6 for a month, 17 for milliseconds. `None` when no date
    /// or time has so many.
    pub(super) fn to_digits(&self, digits: i64) -> Option<Moment> {
        let digits = usize::try_from(digits).ok()?;
        let of_kind = match self.kind {
            MomentKind::Time => CLOCK_DIGITS.as_slice(),
            _ => DATE_DIGITS.as_slice(),
        };
        let whole = of_kind.last().copied().unwrap_or(0);
        let mut cut = self.clone();
        if digits == whole + 3 {
            return Some(cut);
        }
        cut.known = of_kind.iter().position(|known| *known == digits)? + 1;
        cut.fraction = 0;
        if self.kind == MomentKind::DateTime && cut.known <= 3 {
            return Some(cut.to_date());
        }
        Some(cut)
    }

    /// The date of a date-time, as known as it is.
    pub(super) fn to_date(&self) -> Moment {
        let mut date = self.clone();
        date.kind = MomentKind::Date;
        date.known = self.known.min(3);
        date.offset = None;
        for (field, blank) in date.fields.iter_mut().zip([1, 1, 1, 0, 0, 0]).skip(3) {
            *field = blank;
        }
        date
    }

    pub(super) fn to_date_time(&self) -> Moment {
        let mut date_time = self.clone();
        date_time.kind = MomentKind::DateTime;
        date_time
    }

    /// As FHIR writes it.
    pub(super) fn text(&self) -> String {
        let [year, month, day, ..] = self.fields;
        if self.kind == MomentKind::Time {
            return self.clock_text(self.known);
        }
        let mut text = format!("{year:04}");
        if self.known > 1 {
            text.push_str(&format!("-{month:02}"));
        }
        if self.known > 2 {
            text.push_str(&format!("-{day:02}"));
        }
        if self.known > 3 {
            text.push('T');
            text.push_str(&self.clock_text(self.known - 3));
        }
        text.push_str(&match self.offset {
            None => String::new(),
            Some(0) => "Z".to_owned(),
            Some(offset) => {
                let sign = if offset < 0 { '-' } else { '+' };
                let minutes = offset.abs();
                format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
            }
        });
        text
    }

    fn clock_text(&self, known: usize) -> String {
        let [.., hour, minute, second] = self.fields;
        let mut text = format!("{hour:02}");
        if known > 1 {
            text.push_str(&format!(":{minute:02}"));
        }
        if known > 2 {
            text.push_str(&format!(":{:02}", second / SECOND));
            if self.fraction > 0 {
                let digits = format!("{:09}", second % SECOND);
                let shown = self.fraction.min(9);
                text.push('.');
                text.extend(digits.chars().take(shown));
            }
        }
        text
    }
}

fn civil(year: i64, month: i64, day: i64) -> Option<Date> {
    let (month, day) = (i8::try_from(month).ok()?, i8::try_from(day).ok()?);
    Date::new(i16::try_from(year).ok()?, month, day).ok()
}

fn digits(text: &str, width: usize) -> Option<i64> {
    let whole = text.len() == width && text.bytes().all(|b| b.is_ascii_digit());
    whole.then(|| text.parse().ok())?
}

fn offset(text: &str) -> Option<i64> {
    if text == "Z" {
        return Some(0);
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
    (hours <= 14 && minutes < 60).then_some(sign * (hours * 60 + minutes))
}
