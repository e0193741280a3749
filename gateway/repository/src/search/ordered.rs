//! A large answer in the order of a date: calendar buckets are walked from the first that can be on
//! the page until the page is settled.

use super::candidates::Group;
use super::judge::Judge;
use super::page::Picker;
use super::scan::{Asked, Scan};
use fhir_mapping::search::{DateBucket, DateOrder, Looks, Query, SortKey};
use gateway_ground::failure::Failure;
use std::collections::HashSet;
use store::{Rid, Term};

/// Below so many candidates, reading all of them is as good.
pub(super) const LARGE: u64 = if cfg!(test) { 20 } else { 2_000 };
/// A bucket of more resources is walked in its parts.
const BUCKET_MAX: u64 = if cfg!(test) { 5 } else { 500 };

/// Offers matches until the page is settled; without counting them.
pub(super) fn offer(
    judge: &Judge,
    (query, order): (&Query, &DateOrder),
    picker: &mut Picker,
) -> Result<(), Failure> {
    let looks = query.looks();
    let mut walk = Walk {
        judge,
        query,
        looks: &looks,
        order,
        seen: HashSet::new(),
    };
    walk.changed(picker)?;
    walk.within(Some(order.overflow()), picker)?;
    for year in order.years() {
        if walk.bucket(year, picker)? {
            return Ok(());
        }
    }
    // What has no date comes last.
    walk.within(None, picker)
}

struct Walk<'w, 'g, 't> {
    judge: &'w Judge<'g, 't>,
    query: &'w Query,
    looks: &'w Looks,
    order: &'w DateOrder,
    /// A long date is posted in several buckets.
    seen: HashSet<Rid>,
}

impl Walk<'_, '_, '_> {
    /// True when the page is settled.
    fn bucket(&mut self, bucket: DateBucket, picker: &mut Picker) -> Result<bool, Failure> {
        let is_passed = picker
            .after_key()
            .is_some_and(|after| self.order.is_before(bucket, &after));
        if is_passed {
            return Ok(false);
        }
        let term = self.order.term_of(bucket);
        let held = self
            .judge
            .ground
            .view
            .postings(&Term(term.clone()))?
            .count();
        let parts = self.order.parts(bucket);
        if held > BUCKET_MAX && !parts.is_empty() {
            self.within(self.order.wide_term_of(bucket), picker)?;
            for part in parts {
                if self.bucket(part, picker)? {
                    return Ok(true);
                }
            }
        } else if held > 0 {
            self.within(Some(term), picker)?;
        }
        let last = picker.last_key();
        Ok(last.is_some_and(|last: SortKey| self.order.is_settled(bucket, &last)))
    }

    /// Offers the matches that no posting tells of.
    fn changed(&mut self, picker: &mut Picker) -> Result<(), Failure> {
        let mut scan = Scan::of_changed(self.judge, Asked::of(self.query))?;
        while let Some((rid, values)) = scan.next()? {
            picker.offer(rid, self.query.sort_key(&values));
        }
        Ok(())
    }

    /// Offers the other matches that posted the term; all for `None`.
    fn within(&mut self, term: Option<Vec<u8>>, picker: &mut Picker) -> Result<(), Failure> {
        let asked = Asked::of(self.query);
        let mut scan = match term {
            Some(term) => Scan::below(self.judge, asked, Group::Terms(vec![term]))?,
            None => Scan::new(self.judge, asked)?,
        }
        .unchanged()
        .looking(self.looks);
        while let Some((rid, values)) = scan.next_unless(&self.seen)? {
            self.seen.insert(rid);
            picker.offer(rid, self.query.sort_key(&values));
        }
        Ok(())
    }
}
