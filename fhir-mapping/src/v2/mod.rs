//! HL7 v2: bytes to message, message to draft, message to acknowledgement.

use crate::draft::Draft;
use crate::model::Issue;

/// What must be known of a connection to read its messages.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The connection's name; part of every business key.
    pub name: String,
    /// System of patient identifiers without an assigning authority.
    pub patient_system: String,
    /// Character set when MSH-18 is empty, as an HL7 table 0211 name.
    pub charset: String,
    /// Assigning authorities (PID-3.4 as sent) whose identifiers have another system:
    /// (authority, system).
    pub authorities: Vec<(String, String)>,
    pub zone: jiff::tz::TimeZone,
}

/// A parsed HL7 v2 message (delimiters as MSH gave them, text decoded to Unicode).
#[derive(Clone, Debug, PartialEq)]
pub struct Message {}

/// MSA-1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckCode {
    /// Stored on disk.
    Accept,
    /// A passing fault: send again.
    Error,
    /// Never acceptable as it is.
    Reject,
}

/// Reads one message. `Err` only when no MSH can be read.
pub fn parse(_bytes: &[u8], _connection: &Connection) -> Result<(Message, Vec<Issue>), Issue> {
    unimplemented!()
}

impl Message {
    /// MSH-9 as (`ORU`, `R01`).
    pub fn message_type(&self) -> (&str, &str) {
        unimplemented!()
    }

    /// MSH-10.
    pub fn control_id(&self) -> &str {
        unimplemented!()
    }
}

/// Maps ORU^R01 (and R30, R32) to a draft by the v2-to-FHIR guide 1.0.0 and the status tables of our design.
pub fn map_oru(_message: &Message, _connection: &Connection) -> Result<Draft, Issue> {
    unimplemented!()
}

/// Builds the acknowledgement from the raw bytes of the message, so that an unreadable body still
/// gets its answer. `None` when not even MSH can be found. `now` is `YYYYMMDDHHMMSS+ZZZZ`.
pub fn acknowledge(
    _bytes: &[u8],
    _code: AckCode,
    _text: &str,
    _control_id: &str,
    _now: &str,
) -> Option<Vec<u8>> {
    unimplemented!()
}
