//! Walking a large answer in the order of a date: the calendar buckets that dates are posted in,
//! one after the other, so that the first page is found without reading everything.

use super::definitions::Kind;
use super::kinds::calendar::{self, BUCKET_YEARS};
use super::kinds::date;
use super::terms::Sink;
use super::{Query, SortKey};
use jiff::ToSpan;
use jiff::civil::Date;

/// The date parameter that a search is sorted by first.
#[derive(Clone, Debug)]
pub struct DateOrder {
    resource_type: String,
    parameter: &'static str,
    pub descending: bool,
}

/// A stretch of the calendar in UTC. Every resource is posted in the bucket of each size that its
/// date begins in, unless it is under `DateOrder::overflow` or too wide (`DateBucket::wide`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateBucket {
    size: Size,
    first: Date,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    Year,
    Month,
    Day,
}

impl Query {
    /// `None` when the first key of `_sort` is no date.
    pub fn date_order(&self) -> Option<DateOrder> {
        let first = self.sort.first()?;
        let parameter = self.definitions.parameter(first.index)?;
        (parameter.kind == Kind::Date).then(|| DateOrder {
            resource_type: self.resource_type.clone(),
            parameter: parameter.name,
            descending: first.descending,
        })
    }
}

impl DateOrder {
    /// All years, in the order of the answer.
    pub fn years(&self) -> Vec<DateBucket> {
        let years = BUCKET_YEARS.filter_map(|year| Date::new(year, 1, 1).ok());
        self.ordered(years, Size::Year)
    }

    /// The months of a year or the days of a month; none of a day.
    pub fn parts(&self, bucket: DateBucket) -> Vec<DateBucket> {
        let end = bucket.end();
        let inside = |next: fn(Date) -> Option<Date>| {
            std::iter::successors(Some(bucket.first), move |at| next(*at))
                .take_while(move |at| end.is_some_and(|end| *at < end))
        };
        match bucket.size {
            Size::Year => {
                let months = inside(|at| at.checked_add(1.month()).ok());
                self.ordered(months, Size::Month)
            }
            Size::Month => self.ordered(inside(|at| at.tomorrow().ok()), Size::Day),
            Size::Day => Vec::new(),
        }
    }

    fn ordered(&self, starts: impl Iterator<Item = Date>, size: Size) -> Vec<DateBucket> {
        let mut buckets: Vec<DateBucket> = starts.map(|first| DateBucket { size, first }).collect();
        if self.descending {
            buckets.reverse();
        }
        buckets
    }

    /// Term of the resources whose dates are in no bucket.
    pub fn overflow(&self) -> Vec<u8> {
        self.term('!', "")
    }

    pub fn term_of(&self, bucket: DateBucket) -> Vec<u8> {
        let (tag, text) = match bucket.size {
            Size::Year => ('Y', date::year_text(bucket.first)),
            Size::Month => ('M', date::month_text(bucket.first)),
            Size::Day => ('D', date::day_text(bucket.first)),
        };
        self.term(tag, &text)
    }

    /// Term of the resources of a bucket that are in none of its parts.
    pub fn wide_term_of(&self, bucket: DateBucket) -> Option<Vec<u8>> {
        match bucket.size {
            Size::Year => Some(self.term('y', &date::year_text(bucket.first))),
            Size::Month => Some(self.term('m', &date::month_text(bucket.first))),
            Size::Day => None,
        }
    }

    fn term(&self, tag: char, text: &str) -> Vec<u8> {
        let mut sink = Sink::new(&self.resource_type, self.parameter);
        sink.put(tag, &[text]);
        sink.into_only()
    }

    /// Does everything that begins in this bucket come before this key?
    pub fn is_before(&self, bucket: DateBucket, key: &SortKey) -> bool {
        let edge = if self.descending {
            Some(bucket.first)
        } else {
            bucket.end()
        };
        match edge.and_then(|edge| self.key_of(edge)) {
            // The end is the first instant outside.
            Some(edge) if self.descending => edge.as_slice() < head(key),
            Some(edge) => edge.as_slice() <= head(key),
            None => false,
        }
    }

    /// Does everything that begins beyond this bucket come after this key?
    pub fn is_settled(&self, bucket: DateBucket, key: &SortKey) -> bool {
        let edge = if self.descending {
            Some(bucket.first)
        } else {
            bucket.end()
        };
        match edge.and_then(|edge| self.key_of(edge)) {
            Some(edge) if self.descending => head(key) <= edge.as_slice(),
            Some(edge) => head(key) < edge.as_slice(),
            None => false,
        }
    }

    /// What keys of that instant begin with.
    fn key_of(&self, day: Date) -> Option<Vec<u8>> {
        Some(super::sort::date_key(
            calendar::day_start(day)?,
            self.descending,
        ))
    }
}

impl DateBucket {
    /// The first day after it.
    fn end(self) -> Option<Date> {
        let span = match self.size {
            Size::Year => 1.year(),
            Size::Month => 1.month(),
            Size::Day => 1.day(),
        };
        self.first.checked_add(span).ok()
    }
}

/// The part of a key that the date made.
fn head(key: &SortKey) -> &[u8] {
    key.0.get(..9).unwrap_or(&key.0)
}
