//! The row of one taken-in message: a JSON head with its state, then the raw bytes.
//! Layout: length of the head (u32 BE), head, message as received.

use serde::{Deserialize, Serialize};
use store::{RowWrite, StoreError, Table, View};

/// Number of an intake message, counting from 1.
pub(super) type IntakeSeq = u64;

/// A message with what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Intake {
    pub head: Head,
    pub message: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// Name of the connection that it came over.
    pub connection: String,
    pub received_ms: i64,
    pub state: State,
    /// Why it is held, or what was noted on the way: (stable number, place in the message, text).
    pub issues: Vec<(String, String, String)>,
    /// Id of the Task that shows it to a person, once it was held.
    pub task: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    Waiting,
    Settled,
    /// A person must look; with a patient that becomes known it is tried again.
    HeldForPatient,
    /// A person must look.
    Held,
}

/// Held messages stand in the waiting table after all waiting ones, under these first bytes.
const HELD_FOR_PATIENT: u8 = 0xFE;
const HELD: u8 = 0xFF;

impl Intake {
    pub(super) fn encode(&self) -> Result<Vec<u8>, StoreError> {
        let fault = || StoreError::Invalid("an intake row cannot be encoded".to_owned());
        let Ok(head) = serde_json::to_vec(&self.head) else {
            return Err(fault());
        };
        let Ok(length) = u32::try_from(head.len()) else {
            return Err(fault());
        };
        Ok([&length.to_be_bytes(), head.as_slice(), &self.message].concat())
    }

    /// `None` when the bytes are no intake row.
    pub(super) fn decode(row: &[u8]) -> Option<Intake> {
        let (length, rest) = row.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (head, message) = rest.split_at_checked(length)?;
        Some(Intake {
            head: serde_json::from_slice(head).ok()?,
            message: message.to_vec(),
        })
    }

    /// The rows that bring the tables to this message's state.
    pub(super) fn rows(&self, seq: IntakeSeq) -> Result<Vec<RowWrite>, StoreError> {
        let state = self.head.state;
        let place = |wanted| (state == wanted).then(Vec::new);
        let row = |table, key, value| RowWrite { table, key, value };
        Ok(vec![
            row(Table::Intake, key(seq), Some(self.encode()?)),
            row(Table::IntakeWaiting, key(seq), place(State::Waiting)),
            row(
                Table::IntakeWaiting,
                held_key(HELD_FOR_PATIENT, seq),
                place(State::HeldForPatient),
            ),
            row(
                Table::IntakeWaiting,
                held_key(HELD, seq),
                place(State::Held),
            ),
        ])
    }
}

pub(super) fn key(seq: IntakeSeq) -> Vec<u8> {
    seq.to_be_bytes().to_vec()
}

fn held_key(kind: u8, seq: IntakeSeq) -> Vec<u8> {
    [&[kind], seq.to_be_bytes().as_slice()].concat()
}

/// The number of a key of the intake table.
pub(super) fn seq_of(key: &[u8]) -> Option<IntakeSeq> {
    Some(u64::from_be_bytes(key.try_into().ok()?))
}

pub(super) fn read(view: &View<'_>, seq: IntakeSeq) -> Result<Option<Intake>, StoreError> {
    let row = view.row(Table::Intake, &key(seq))?;
    Ok(row.and_then(|row| Intake::decode(&row)))
}

/// How many messages wait and how many are held, counting at most `limit`.
pub(super) fn count(view: &View<'_>, limit: usize) -> Result<(usize, usize), StoreError> {
    let held = view.count_rows(Table::IntakeWaiting, &[HELD], limit)?;
    let all = view.count_rows(Table::IntakeWaiting, &[], limit)?;
    Ok((all.saturating_sub(held), held))
}

/// The oldest message after `after` that waits to be interpreted.
pub(super) fn oldest_waiting(
    view: &View<'_>,
    after: Option<IntakeSeq>,
) -> Result<Option<IntakeSeq>, StoreError> {
    let after = after.map(key);
    let rows = view.rows(Table::IntakeWaiting, &[], after.as_deref(), 1)?;
    let first = rows.first().and_then(|(key, _)| seq_of(key));
    Ok(first)
}

/// Messages held for a patient, oldest first, after `after`, at most `limit`.
pub(super) fn held_for_patient(
    view: &View<'_>,
    after: Option<IntakeSeq>,
    limit: usize,
) -> Result<Vec<IntakeSeq>, StoreError> {
    let after = after.map(|seq| held_key(HELD_FOR_PATIENT, seq));
    let prefix = [HELD_FOR_PATIENT];
    let rows = view.rows(Table::IntakeWaiting, &prefix, after.as_deref(), limit)?;
    let seqs = rows.iter().filter_map(|(key, _)| seq_of(key.get(1..)?));
    Ok(seqs.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intake(state: State) -> Intake {
        Intake {
            head: Head {
                connection: "bench".to_owned(),
                received_ms: 7,
                state,
                issues: vec![("E-X-1".to_owned(), "OBX[1]-5".to_owned(), "why".to_owned())],
                task: None,
            },
            message: b"MSH|\xFF".to_vec(),
        }
    }

    #[test]
    fn rows_survive_and_damage_is_seen() {
        let row = intake(State::Held).encode().unwrap();
        assert_eq!(Intake::decode(&row), Some(intake(State::Held)));
        for cut in [0, 3, 9] {
            assert_eq!(Intake::decode(&row[..cut]), None);
        }
    }

    #[test]
    fn each_state_stands_in_one_place() {
        let places = |state| -> Vec<bool> {
            let rows = intake(state).rows(1).unwrap();
            rows.iter().map(|row| row.value.is_some()).collect()
        };
        assert_eq!(places(State::Waiting), [true, true, false, false]);
        assert_eq!(places(State::Settled), [true, false, false, false]);
        assert_eq!(places(State::HeldForPatient), [true, false, true, false]);
        assert_eq!(places(State::Held), [true, false, false, true]);
        assert_eq!(seq_of(&key(9)), Some(9));
        assert_eq!(seq_of(&held_key(HELD, 9)), None);
    }
}
