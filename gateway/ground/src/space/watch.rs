//! What is known of the disk's room now, for everybody who has to heed it.

use super::{Growth, Reserve, Room, Stage};
use crate::failure::{Category, Failure};
use fhir_mapping::model::IssueCode;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpaceState {
    pub stage: Stage,
    /// Without what the reserve is to hold.
    pub room: Room,
    /// Until clients' writes are refused, if it goes on as in the last days.
    pub days_left: Option<u64>,
}

/// One for the whole gateway. Nothing is known before the first figures: then all is allowed.
#[derive(Default)]
pub struct SpaceWatch {
    known: Mutex<(SpaceState, Growth)>,
}

impl SpaceWatch {
    /// Goes on with what was known of the growth before.
    pub fn new(growth: Growth) -> SpaceWatch {
        SpaceWatch {
            known: Mutex::new((SpaceState::default(), growth)),
        }
    }

    /// How it stands now.
    pub fn state(&self) -> SpaceState {
        self.known().0
    }

    /// Takes in new figures, measured while the reserve was there or not; the growth, when a
    /// sample of it is new and should be kept.
    pub fn note(&self, time_ms: i64, measured: Room, has_reserve: bool) -> Option<Growth> {
        let mut room = measured;
        if !has_reserve {
            // Given up it is for devices alone, and does not count as room.
            room.free = room.free.saturating_sub(Reserve::bytes(room.whole));
        }
        let mut known = self.known();
        let (state, growth) = &mut *known;
        let is_new = growth.note(time_ms, room.free);
        *state = SpaceState {
            stage: state.stage.then(room),
            room,
            days_left: growth.days_left(time_ms, room),
        };
        is_new.then(|| growth.clone())
    }

    /// Refuses (507) bulk work when room is short.
    pub fn check_bulk(&self) -> Result<(), Failure> {
        let state = self.state();
        if state.stage < Stage::Short {
            return Ok(());
        }
        let text = format!(
            "the disk is nearly full ({}): no imports and exports until there is more room",
            state.words()
        );
        let code = IssueCode::NoStore;
        Err(Failure::new(Category::DiskFull, "E-DISK-1", code, text))
    }

    /// Refuses (507) clients' writes when no room is left.
    pub fn check_write(&self) -> Result<(), Failure> {
        let state = self.state();
        if state.stage < Stage::Out {
            return Ok(());
        }
        let text = format!(
            "the disk is full ({}): reading goes on, what is left is for devices; free space, or \
             delete and purge",
            state.words()
        );
        let code = IssueCode::NoStore;
        Err(Failure::new(Category::DiskFull, "E-DISK-2", code, text))
    }

    fn known(&self) -> MutexGuard<'_, (SpaceState, Growth)> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SpaceState {
    /// For people: `12 % free, 3100 MB; about 40 days left`.
    pub fn words(&self) -> String {
        let (hundredths, mb) = (self.room.hundredths(), self.room.free >> 20);
        let free = format!("{hundredths} % free, {mb} MB");
        match self.days_left {
            Some(days) => format!("{free}; about {days} days left"),
            None => free,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;
    const DAY_MS: i64 = 86_400_000;

    fn room(free_mb: u64) -> Room {
        Room {
            free: free_mb * MB,
            whole: 10_000 * MB,
        }
    }

    /// Statuses of bulk work and of a write.
    #[track_caller]
    fn check(watch: &SpaceWatch, (free_mb, has_reserve): (u64, bool), expected: (u16, u16)) {
        watch.note(0, room(free_mb), has_reserve);
        let status = |allowed: Result<(), Failure>| match allowed {
            Ok(()) => 200,
            Err(failure) => failure.category.status(),
        };
        let found = (status(watch.check_bulk()), status(watch.check_write()));
        assert_eq!(found, expected, "{free_mb} MB {:?}", watch.state());
    }

    #[test]
    fn the_less_room_the_more_is_refused_until_there_is_room_again() {
        let watch = SpaceWatch::default();
        assert_eq!(watch.check_bulk(), Ok(()));
        check(&watch, (1_400, true), (200, 200));
        check(&watch, (600, true), (200, 200));
        check(&watch, (499, true), (507, 200));
        check(&watch, (99, true), (507, 507));
        // The reserve is given up: that is no room for clients.
        check(&watch, (99 + 50, false), (507, 507));
        check(&watch, (400 + 50, false), (507, 200));
        check(&watch, (2_000, true), (200, 200));
    }

    #[test]
    fn people_are_told_how_much_and_how_long() {
        let watch = SpaceWatch::default();
        assert!(watch.note(0, room(1_300), true).is_some());
        assert_eq!(watch.note(1, room(1_300), true), None);
        let kept = watch.note(DAY_MS, room(1_200), true).unwrap();
        let state = watch.state();
        assert_eq!(state.stage, Stage::Low);
        assert_eq!(state.words(), "12 % free, 1200 MB; about 11 days left");
        // A restart knows as much.
        let anew = SpaceWatch::new(kept);
        anew.note(DAY_MS + 1, room(1_200), true);
        assert_eq!(anew.state().days_left, Some(11));
    }
}
