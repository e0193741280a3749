//! Which backup a point in time is restored from, and which later one carries it on to that very point.

use super::super::CliError;
use gateway_repository::Until;
use store::{Incarnations, Seq};
use vault::VaultError;
use vault::backup::{Listed, Opened};

/// What a person gives with `--at`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Point {
    Seq(u64),
    Time(i64),
}

/// A backup, and what lies between it and the point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) base: Listed,
    /// The backup that holds the changes behind the base, and how far they count.
    pub(crate) onward: Option<(Listed, Until)>,
}

/// The newest backup not after the point, and the first one of the same past that reaches it.
pub(crate) fn route(opened: &Opened<'_>, at: Option<&str>) -> Result<Route, CliError> {
    let base = chosen(opened, at)?.pop().ok_or(VaultError::NoBackup)?;
    let Some(at) = at else {
        return Ok(Route { base, onward: None });
    };
    let point = point_of(at)?;
    let until = match point {
        Point::Seq(seq) => Until::Seq(Seq(seq)),
        Point::Time(time_ms) => Until::Time(time_ms),
    };
    let is_there = matches!(point, Point::Seq(seq) if seq == base.seq);
    let lives = opened.incarnations(&base.name)?;
    let behind = opened.list()?.into_iter().filter(|one| {
        one.time_ms > base.time_ms && one.seq > base.seq && !is_there && reaches(one, point)
    });
    for one in behind {
        if goes_on(&opened.incarnations(&one.name)?, &lives, base.seq) {
            let onward = Some((one, until));
            return Ok(Route { base, onward });
        }
    }
    Ok(Route { base, onward: None })
}

/// Does it hold all changes up to the point?
fn reaches(one: &Listed, point: Point) -> bool {
    match point {
        Point::Seq(seq) => one.seq >= seq,
        Point::Time(time_ms) => one.time_ms >= time_ms,
    }
}

/// Is a state of these lives, at this change, part of the past of a later one? It is not when that one was
/// restored from before the change.
fn goes_on(later: &Incarnations, earlier: &Incarnations, seq: u64) -> bool {
    let here = earlier.last().id;
    let mut behind = later.all().iter().skip_while(|life| life.id != here);
    behind.next().is_some() && behind.next().is_none_or(|next| next.after.0 >= seq)
}

/// All backups, or the newest one at a point; refuses when there is none.
pub(crate) fn chosen(opened: &Opened<'_>, at: Option<&str>) -> Result<Vec<Listed>, CliError> {
    let all = opened.list()?;
    let none = || {
        CliError::failed("E-CLI-20: no backup is that old; `wayside backup list` shows them all")
    };
    if all.is_empty() {
        return Err(VaultError::NoBackup.into());
    }
    let Some(at) = at else { return Ok(all) };
    let point = point_of(at)?;
    let before = all.into_iter().rev().find(|one| match point {
        Point::Seq(seq) => one.seq <= seq,
        Point::Time(time_ms) => one.time_ms <= time_ms,
    });
    Ok(vec![before.ok_or_else(none)?])
}

fn point_of(at: &str) -> Result<Point, CliError> {
    if let Ok(seq) = at.parse() {
        return Ok(Point::Seq(seq));
    }
    let time: jiff::Timestamp = at.parse().map_err(|e| {
        CliError::usage(format!(
            "E-CLI-21: --at {at}: {e}; give a time with its zone, as 2026-03-01T10:00:00Z, or a \
             change number"
        ))
    })?;
    Ok(Point::Time(time.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_times_or_change_numbers() {
        let check = |text: &str, expected: Option<Point>| {
            assert_eq!(point_of(text).ok(), expected, "{text}");
        };
        check("17", Some(Point::Seq(17)));
        check("1970-01-01T00:00:01Z", Some(Point::Time(1000)));
        check("1970-01-01T02:00:01+02:00", Some(Point::Time(1000)));
        check("1970-01-01T00:00:01", None);
        check("yesterday", None);
        check("-1", None);
    }

    fn lives(all: &[(u8, u64)]) -> Incarnations {
        let bytes = all
            .iter()
            .flat_map(|(id, after)| [[*id; 8], after.to_be_bytes(), [0; 8]].concat());
        let bytes: Vec<u8> = bytes.collect();
        Incarnations::from_bytes(&bytes).unwrap()
    }

    #[test]
    fn another_past_carries_nothing_on() {
        let first = lives(&[(1, 0)]);
        let check = |later: &[(u8, u64)], seq: u64, expected: bool| {
            assert_eq!(goes_on(&lives(later), &first, seq), expected, "{later:?}");
        };
        check(&[(1, 0)], 100, true);
        check(&[(1, 0), (2, 100)], 100, true);
        check(&[(1, 0), (2, 99)], 100, false);
        check(&[(1, 0), (2, 120), (3, 50)], 100, true);
        check(&[(3, 0)], 100, false);
    }
}
