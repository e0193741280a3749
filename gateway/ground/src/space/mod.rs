//! How much room the disk has left, in stages, and what is still done at each: the less room, the
//! more is refused, so that what devices send is the last to be lost. Figures in, stages out; the
//! disk itself is asked in `measure` alone.

mod growth;
mod reserve;
mod watch;

pub use growth::Growth;
pub use reserve::{Reserve, measure};
pub use watch::{SpaceState, SpaceWatch};

/// Bytes of a disk that are free for an ordinary process, of all there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    pub free: u64,
    pub whole: u64,
}

/// The less room, the greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    #[default]
    Ample,
    /// 15 %: somebody should look at it.
    Low,
    /// 10 %: somebody should do something.
    Scarce,
    /// 5 %: bulk work (imports, exports) is refused.
    Short,
    /// 1 %: writes of clients are refused, the reserve is given up; reading and devices go on.
    Out,
}

/// Each stage with its bound: hundredths of the disk, and bytes that are enough on a large one.
const BOUNDS: [(Stage, u64, u64); 4] = [
    (Stage::Out, 1, 1 << 30),
    (Stage::Short, 5, 4 << 30),
    (Stage::Scarce, 10, 16 << 30),
    (Stage::Low, 15, 32 << 30),
];

impl Stage {
    /// By the figures alone.
    pub fn of(room: Room) -> Stage {
        Stage::beneath(room, |bound| bound)
    }

    /// The stage after this one. A stage is left only with a tenth more room than it begins with, so
    /// that it does not change with every file that comes and goes.
    #[must_use]
    pub fn then(self, room: Room) -> Stage {
        let left = Stage::beneath(room, |bound| bound.saturating_add(bound / 10));
        Stage::of(room).max(left.min(self))
    }

    fn beneath(room: Room, widened: impl Fn(u64) -> u64) -> Stage {
        let mut bounds = BOUNDS.iter();
        let found = bounds.find(|(_, hundredths, enough)| {
            let bound = room.whole / 100 * hundredths;
            room.free < widened(bound.min(*enough))
        });
        found.map_or(Stage::Ample, |(stage, ..)| *stage)
    }

    /// As metrics show it: 0 to 4.
    pub fn number(self) -> u64 {
        match self {
            Stage::Ample => 0,
            Stage::Low => 1,
            Stage::Scarce => 2,
            Stage::Short => 3,
            Stage::Out => 4,
        }
    }
}

impl Room {
    /// Bytes that may still be written before clients' writes are refused.
    pub fn until_out(self) -> u64 {
        let [(_, hundredths, enough), ..] = BOUNDS;
        let bound = (self.whole / 100 * hundredths).min(enough);
        self.free.saturating_sub(bound)
    }

    /// Hundredths that are free, rounded down.
    pub fn hundredths(self) -> u64 {
        let free = u128::from(self.free) * 100;
        u64::try_from(free / u128::from(self.whole.max(1))).unwrap_or(100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GB: u64 = 1 << 30;

    #[track_caller]
    fn check(before: Stage, (free, whole): (u64, u64), expected: Stage) {
        let room = Room { free, whole };
        assert_eq!(before.then(room), expected, "{before:?} {free} of {whole}");
    }

    #[test]
    fn each_stage_begins_at_its_share() {
        for (free, expected) in [
            (100_000, Stage::Ample),
            (15_000, Stage::Ample),
            (14_999, Stage::Low),
            (10_000, Stage::Low),
            (9_999, Stage::Scarce),
            (5_000, Stage::Scarce),
            (4_999, Stage::Short),
            (1_000, Stage::Short),
            (999, Stage::Out),
            (0, Stage::Out),
        ] {
            check(Stage::Ample, (free, 100_000), expected);
        }
    }

    #[test]
    fn a_large_disk_is_not_short_of_gigabytes() {
        check(Stage::Ample, (33 * GB, 4000 * GB), Stage::Ample);
        check(Stage::Ample, (31 * GB, 4000 * GB), Stage::Low);
        check(Stage::Ample, (4 * GB, 4000 * GB), Stage::Scarce);
        check(Stage::Ample, (GB - 1, 4000 * GB), Stage::Out);
    }

    #[test]
    fn a_stage_is_left_with_some_room_to_spare_and_entered_at_once() {
        check(Stage::Out, (1_050, 100_000), Stage::Out);
        check(Stage::Out, (1_100, 100_000), Stage::Short);
        check(Stage::Short, (5_400, 100_000), Stage::Short);
        check(Stage::Short, (5_500, 100_000), Stage::Scarce);
        check(Stage::Out, (90_000, 100_000), Stage::Ample);
        check(Stage::Low, (4_000, 100_000), Stage::Short);
        // From a better stage the wider bounds mean nothing.
        check(Stage::Ample, (15_100, 100_000), Stage::Ample);
        check(Stage::Low, (10_100, 100_000), Stage::Low);
        check(Stage::Scarce, (10_100, 100_000), Stage::Scarce);
    }

    #[test]
    fn shares_are_told_in_hundredths() {
        let room = |free, whole| Room { free, whole };
        assert_eq!(room(999, 10_000).hundredths(), 9);
        assert_eq!(room(0, 0).hundredths(), 0);
        assert_eq!(room(u64::MAX, u64::MAX).hundredths(), 100);
        assert_eq!(room(3_000, 100_000).until_out(), 2_000);
        assert_eq!(room(500, 100_000).until_out(), 0);
    }
}
