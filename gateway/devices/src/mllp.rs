//! MLLP frames out of bytes (HL7 v2 Minimal Lower Layer Protocol): `VT message FS CR`. Sans-IO:
//! bytes are pushed in, frames and faults are taken out, in order.

const VT: u8 = 0x0B;
const FS: u8 = 0x1C;
const CR: u8 = 0x0D;

/// What came out of the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// A whole message, without its frame.
    Frame(Vec<u8>),
    /// Bytes outside any frame were skipped; line ends between frames do not count.
    Junk { size_bytes: usize },
    /// A new frame began inside another: the first is lost to its sender, who got no answer.
    Cut { size_bytes: usize },
    /// A frame is larger than allowed. Nothing more comes out: close the connection.
    TooLarge,
}

/// The state between two reads. Nothing of a frame outlives it.
#[derive(Debug)]
pub(super) struct Framer {
    frame_bytes_max: usize,
    state: State,
    /// What was found and not yet taken.
    found: std::collections::VecDeque<Received>,
}

#[derive(Debug)]
enum State {
    Outside { junk_bytes: usize },
    Inside { frame: Vec<u8> },
    Broken,
}

impl Framer {
    pub(super) fn new(frame_bytes_max: usize) -> Framer {
        Framer {
            frame_bytes_max,
            state: State::Outside { junk_bytes: 0 },
            found: std::collections::VecDeque::new(),
        }
    }

    /// Takes bytes as they come from the wire.
    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = match std::mem::replace(&mut self.state, State::Broken) {
                State::Outside { junk_bytes } => self.outside(bytes, junk_bytes),
                State::Inside { frame } => self.inside(bytes, frame),
                State::Broken => return,
            };
        }
    }

    /// The next frame or fault, if any.
    pub(super) fn next(&mut self) -> Option<Received> {
        self.found.pop_front()
    }

    /// A frame has begun and not ended.
    pub(super) fn is_inside(&self) -> bool {
        matches!(self.state, State::Inside { .. })
    }

    fn outside<'b>(&mut self, bytes: &'b [u8], mut junk_bytes: usize) -> &'b [u8] {
        let start = bytes.iter().position(|b| *b == VT);
        let skipped = bytes
            .get(..start.unwrap_or(bytes.len()))
            .unwrap_or_default();
        // The CR of the frame before, or line ends that some senders put between frames.
        junk_bytes += skipped
            .iter()
            .filter(|b| !matches!(b, b'\r' | b'\n'))
            .count();
        let Some(start) = start else {
            self.state = State::Outside { junk_bytes };
            return &[];
        };
        if junk_bytes > 0 {
            self.found.push_back(Received::Junk {
                size_bytes: junk_bytes,
            });
        }
        self.state = State::Inside { frame: Vec::new() };
        bytes.get(start + 1..).unwrap_or_default()
    }

    /// A frame ends at FS: its CR is not waited for, so the answer never hangs on one more byte.
    fn inside<'b>(&mut self, bytes: &'b [u8], mut frame: Vec<u8>) -> &'b [u8] {
        let stop = bytes.iter().position(|b| matches!(*b, VT | FS));
        let part = bytes.get(..stop.unwrap_or(bytes.len())).unwrap_or_default();
        if frame.len() + part.len() > self.frame_bytes_max {
            self.found.push_back(Received::TooLarge);
            return &[];
        }
        frame.extend_from_slice(part);
        let Some(stop) = stop else {
            self.state = State::Inside { frame };
            return &[];
        };
        if bytes.get(stop) == Some(&FS) {
            self.found.push_back(Received::Frame(frame));
            self.state = State::Outside { junk_bytes: 0 };
        } else {
            let size_bytes = frame.len();
            self.found.push_back(Received::Cut { size_bytes });
            self.state = State::Inside { frame: Vec::new() };
        }
        bytes.get(stop + 1..).unwrap_or_default()
    }
}

/// Puts a message into a frame.
pub(super) fn framed(message: &[u8]) -> Vec<u8> {
    [&[VT], message, &[FS, CR]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes out, whatever the size of the pieces: frames as text, faults as words.
    fn check(bytes: &str, expected: &[&str]) {
        for size in [1, 2, 3, 7, bytes.len().max(1)] {
            let mut framer = Framer::new(64);
            let mut shown = Vec::new();
            for piece in bytes.as_bytes().chunks(size) {
                framer.push(piece);
                while let Some(received) = framer.next() {
                    shown.push(match received {
                        Received::Frame(frame) => String::from_utf8(frame).unwrap(),
                        Received::Junk { size_bytes } => format!("junk {size_bytes}"),
                        Received::Cut { size_bytes } => format!("cut {size_bytes}"),
                        Received::TooLarge => "too large".to_owned(),
                    });
                }
            }
            assert_eq!(shown, expected, "{bytes:?} in pieces of {size}");
        }
    }

    #[test]
    fn frames_come_out_whole_and_in_order() {
        check("\u{b}one\u{1c}\r", &["one"]);
        check("\u{b}one\u{1c}\r\u{b}two\u{1c}\r", &["one", "two"]);
        check("\u{b}one\u{1c}\u{b}two\u{1c}", &["one", "two"]);
        check(
            "\u{b}a\rb\nc\u{c}\u{1c}\r\n\r\n\u{b}d\u{1c}\r",
            &["a\rb\nc\u{c}", "d"],
        );
        check("\u{b}\u{1c}\r", &[""]);
        check("", &[]);
        let many: String = (0..50).map(|n| format!("\u{b}{n}\u{1c}\r")).collect();
        let expected: Vec<String> = (0..50).map(|n| n.to_string()).collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        check(&many, &expected);
    }

    #[test]
    fn faults_do_not_reach_the_next_frame() {
        check("GET / HTTP\r\n\u{b}one\u{1c}\r", &["junk 10", "one"]);
        check("\u{b}half\u{b}one\u{1c}\r", &["cut 4", "one"]);
        check(
            "\u{b}one\u{1c}\rxy\u{b}two\u{1c}\r",
            &["one", "junk 2", "two"],
        );
        check("\u{b}half of a frame", &[]);
        check("only junk \u{1c}\r", &[]);
        let large = format!("\u{b}{}\u{1c}\r\u{b}next\u{1c}\r", "x".repeat(65));
        check(&large, &["too large"]);
        let fits = format!("\u{b}{}\u{1c}\r", "x".repeat(64));
        check(&fits, &["x".repeat(64).as_str()]);
    }

    #[test]
    fn knows_when_a_frame_is_under_way() {
        let mut framer = Framer::new(64);
        for (piece, inside) in [
            ("x", false),
            ("\u{b}a", true),
            ("\u{1c}", false),
            ("\r", false),
        ] {
            framer.push(piece.as_bytes());
            assert_eq!(framer.is_inside(), inside, "{piece:?}");
        }
    }

    #[test]
    fn what_is_framed_comes_out_again() {
        let mut framer = Framer::new(64);
        framer.push(&framed(b"MSH|"));
        assert_eq!(framer.next(), Some(Received::Frame(b"MSH|".to_vec())));
    }
}
