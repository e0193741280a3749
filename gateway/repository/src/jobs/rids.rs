//! Lists of resources as bytes: ascending numbers, each as its distance from the one before.

use store::Rid;

/// A list that is being written.
#[derive(Default)]
pub(super) struct RidList {
    bytes: Vec<u8>,
    last: u64,
}

impl RidList {
    /// Rids come in ascending order.
    pub(super) fn push(&mut self, rid: Rid) {
        push_number(&mut self.bytes, rid.0.saturating_sub(self.last));
        self.last = rid.0;
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// The rids of a list, in its order.
pub(super) struct Rids {
    bytes: std::vec::IntoIter<u8>,
    last: u64,
}

impl Rids {
    pub(super) fn of(list: Vec<u8>) -> Rids {
        Rids {
            bytes: list.into_iter(),
            last: 0,
        }
    }
}

impl Iterator for Rids {
    type Item = Rid;

    fn next(&mut self) -> Option<Rid> {
        let (mut number, mut shift) = (0_u64, 0_u32);
        loop {
            let byte = self.bytes.next()?;
            number |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            shift += 7;
            if byte & 0x80 == 0 {
                self.last = self.last.saturating_add(number);
                return Some(Rid(self.last));
            }
        }
    }
}

/// Seven bits a byte, the lowest first; the eighth says that more follow.
fn push_number(out: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = u8::try_from(number & 0x7f).unwrap_or(0);
        number >>= 7;
        if number == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_come_back() {
        let given = [1, 2, 129, 130, 20_000, 20_001, u64::MAX / 2];
        let mut list = RidList::default();
        given.iter().for_each(|rid| list.push(Rid(*rid)));
        let found: Vec<u64> = Rids::of(list.into_bytes()).map(|rid| rid.0).collect();
        assert_eq!(found, given);
        assert_eq!(Rids::of(Vec::new()).count(), 0);
        assert_eq!(Rids::of(vec![0x80]).count(), 0, "a cut list");
    }
}
