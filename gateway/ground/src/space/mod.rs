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

/// Each stage with its bound: hundredths of the disk, but at least and at most so many bytes, for on a
/// small disk a hundredth is nothing to work with, and on a large one it is plenty.
const BOUNDS: [(Stage, u64, u64, u64); 4] = [
    (Stage::Out, 1, 32 << 20, 1 << 30),
    (Stage::Short, 5, 64 << 20, 4 << 30),
    (Stage::Scarce, 10, 128 << 20, 16 << 30),
    (Stage::Low, 15, 192 << 20, 32 << 30),
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
        let found = bounds.find(|bound| room.free < widened(room.bound(bound)));
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
        let [out, ..] = BOUNDS;
        self.free.saturating_sub(self.bound(&out))
    }

    fn bound(self, (_, hundredths, least, most): &(Stage, u64, u64, u64)) -> u64 {
        (self.whole / 100 * hundredths).clamp(*least, *most)
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
    const MB: u64 = 1 << 20;

    #[track_caller]
    fn check(before: Stage, (free, whole): (u64, u64), expected: Stage) {
        let room = Room { free, whole };
        assert_eq!(before.then(room), expected, "{before:?} {free} of {whole}");
    }

    /// Of 50,000 MB.
    #[track_caller]
    fn check_mb(before: Stage, free: u64, expected: Stage) {
        check(before, (free * MB, 50_000 * MB), expected);
    }

    #[test]
    fn each_stage_begins_at_its_share() {
        for (free, expected) in [
            (50_000, Stage::Ample),
            (7_500, Stage::Ample),
            (7_499, Stage::Low),
            (5_000, Stage::Low),
            (4_999, Stage::Scarce),
            (2_500, Stage::Scarce),
            (2_499, Stage::Short),
            (500, Stage::Short),
            (499, Stage::Out),
            (0, Stage::Out),
        ] {
            check_mb(Stage::Ample, free, expected);
        }
    }

    #[test]
    fn a_large_disk_is_not_short_of_gigabytes_nor_a_small_one_out_of_bytes() {
        check(Stage::Ample, (33 * GB, 4000 * GB), Stage::Ample);
        check(Stage::Ample, (31 * GB, 4000 * GB), Stage::Low);
        check(Stage::Ample, (4 * GB, 4000 * GB), Stage::Scarce);
        check(Stage::Ample, (GB - 1, 4000 * GB), Stage::Out);
        check(Stage::Ample, (60 * MB, 256 * MB), Stage::Short);
        check(Stage::Ample, (31 * MB, 256 * MB), Stage::Out);
    }

    #[test]
    fn a_stage_is_left_with_some_room_to_spare_and_entered_at_once() {
        check_mb(Stage::Out, 525, Stage::Out);
        check_mb(Stage::Out, 550, Stage::Short);
        check_mb(Stage::Short, 2_700, Stage::Short);
        check_mb(Stage::Short, 2_750, Stage::Scarce);
        check_mb(Stage::Out, 45_000, Stage::Ample);
        check_mb(Stage::Low, 2_000, Stage::Short);
        // From a better stage the wider bounds mean nothing.
        check_mb(Stage::Ample, 7_550, Stage::Ample);
        check_mb(Stage::Low, 5_050, Stage::Low);
        check_mb(Stage::Scarce, 5_050, Stage::Scarce);
    }

    #[test]
    fn shares_are_told_in_hundredths() {
        let room = |free, whole| Room { free, whole };
        assert_eq!(room(999, 10_000).hundredths(), 9);
        assert_eq!(room(0, 0).hundredths(), 0);
        assert_eq!(room(u64::MAX, u64::MAX).hundredths(), 100);
        assert_eq!(room(1_500 * MB, 50_000 * MB).until_out(), 1_000 * MB);
        assert_eq!(room(400 * MB, 50_000 * MB).until_out(), 0);
    }
}
