//! Pieces of a file as numbered lines, holding at most one line of a bounded length. Pure.

use fhir_mapping::model::{Issue, IssueCode};
use gateway_repository::ImportLine;
use std::collections::VecDeque;

/// One resource; the largest real ones hold scans of a few MiB.
const LINE_BYTES_MAX: usize = 32 << 20;

#[derive(Default)]
pub(super) struct Lines {
    /// The line under way, without its end.
    open: Vec<u8>,
    is_too_long: bool,
    /// Lines whose end has come.
    whole: VecDeque<ImportLine>,
    number: u64,
}

impl Lines {
    pub(super) fn push(&mut self, piece: &[u8]) {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            let (text, has_end) = match part.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (part, false),
            };
            if self.open.len() + text.len() > LINE_BYTES_MAX {
                self.is_too_long = true;
                self.open = Vec::new();
            }
            if !self.is_too_long {
                self.open.extend_from_slice(text);
            }
            if has_end {
                self.close();
            }
        }
    }

    /// Nothing follows: a last line needs no line end.
    pub(super) fn finish(&mut self) {
        if !self.open.is_empty() || self.is_too_long {
            self.close();
        }
    }

    pub(super) fn next(&mut self) -> Option<ImportLine> {
        self.whole.pop_front()
    }

    fn close(&mut self) {
        self.number += 1;
        let text = std::mem::take(&mut self.open);
        let line = match std::mem::take(&mut self.is_too_long) {
            false => Ok(text),
            true => {
                let text = format!("the line is longer than {LINE_BYTES_MAX} bytes");
                Err(Issue::error("E-BULK-4", IssueCode::TooLong, "", text))
            }
        };
        self.whole.push_back((self.number, line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pieces: &[&str], expected: &str) {
        let mut lines = Lines::default();
        for piece in pieces {
            lines.push(piece.as_bytes());
        }
        lines.finish();
        let found = std::iter::from_fn(|| lines.next());
        let found: Vec<String> = found
            .map(|(number, text)| format!("{number}:{}", String::from_utf8(text.unwrap()).unwrap()))
            .collect();
        assert_eq!(found.join(" "), expected);
    }

    #[test]
    fn lines_come_whole_however_they_arrive() {
        check(&["a\nb\n"], "1:a 2:b");
        check(&["a", "b\nc", "d"], "1:ab 2:cd");
        check(&["a\n", "\n", "b"], "1:a 2: 3:b");
        check(&[], "");
        check(&["\n"], "1:");
        check(&["a\r\nb"], "1:a\r 2:b");
    }

    #[test]
    fn a_line_too_long_is_one_refusal_and_holds_no_memory() {
        let mut lines = Lines::default();
        for _ in 0..33 {
            lines.push(&vec![b'x'; 1 << 20]);
            assert!(lines.open.len() <= LINE_BYTES_MAX);
        }
        assert!(lines.open.is_empty());
        lines.push(b"y\nz\n");
        assert!(lines.next().unwrap().1.is_err());
        assert_eq!(lines.next(), Some((2, Ok(b"z".to_vec()))));
        assert_eq!(lines.next(), None);
    }
}
