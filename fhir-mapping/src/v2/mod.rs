//! HL7 v2: bytes to message, message to draft, message to acknowledgement.

mod ack;
mod dates;
mod groups;
mod keys;
mod observation;
mod oru;
mod patient;
mod shape;
mod specimen;
mod status;
mod syntax;
mod values;

use crate::draft::Draft;
use crate::model::{Issue, IssueCode, Json, Severity};
use crate::terminology::systems::urn_part;
use syntax::charset;
use syntax::header::{self, RawHeader};
use syntax::segments::{self, Field, Segment, Syntax};

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
pub struct Message {
    segments: Vec<Segment>,
    message_type: String,
    trigger: String,
    control_id: String,
}

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

/// Reads one message. `Err` only when no MSH can be read, or when a second one follows (a batch).
pub fn parse(bytes: &[u8], connection: &Connection) -> Result<(Message, Vec<Issue>), Issue> {
    let text = "no readable MSH segment";
    let unreadable = || Issue::error("E-V2-1", IssueCode::Structure, "MSH", text);
    let header = RawHeader::find(bytes);
    let (start, declared) = match &header {
        Some(header) => (header.start, header.charset()),
        None if has_wide_bom(bytes) => (0, String::new()),
        None => return Err(unreadable()),
    };
    let body = bytes.get(start..).unwrap_or_default();
    let decoded = charset::decode(body, &declared, &connection.charset);
    let syntax = Syntax::of_header(&decoded.text, decoded.encoding).ok_or_else(unreadable)?;
    let (segments, joined) = segments::split(&decoded.text, &syntax);
    let mut issues = decoded.issues;
    if joined {
        let text = "line breaks inside a field were not escaped; the lines were joined";
        issues.push(warning("E-V2-6", IssueCode::Structure, "", text));
    }
    let mut headers = segments.iter().filter(|segment| segment.name == "MSH");
    let msh = headers.next().ok_or_else(unreadable)?;
    if headers.next().is_some() {
        let text = "several messages in one frame (a batch); send one message a frame";
        return Err(Issue::error("E-V2-5", IssueCode::NotSupported, "MSH", text));
    }
    Ok((Message::of(msh, &segments), issues))
}

fn has_wide_bom(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xFE, 0xFF]) || bytes.starts_with(&[0xFF, 0xFE])
}

impl Message {
    fn of(msh: &Segment, segments: &[Segment]) -> Message {
        let kind = msh.field(9).first();
        let part = |n: usize| kind.component(n).text_or_empty();
        // `ORU_R01` alone, or as the structure in component 3, names type and trigger too.
        let structure = if part(2).is_empty() && part(1).contains('_') {
            part(1)
        } else {
            part(3)
        };
        let (from_type, from_trigger) = structure.split_once('_').unwrap_or((&structure, ""));
        let or = |own: String, other: &str| {
            if own.is_empty() {
                other.to_owned()
            } else {
                own
            }
        };
        let message_type = if part(1).contains('_') {
            String::new()
        } else {
            part(1)
        };
        Message {
            message_type: or(message_type, from_type),
            trigger: or(part(2), from_trigger),
            control_id: msh.field(10).text_or_empty(),
            segments: segments.to_vec(),
        }
    }

    /// MSH-9 as (`ORU`, `R01`).
    pub fn message_type(&self) -> (&str, &str) {
        (&self.message_type, &self.trigger)
    }

    /// MSH-10.
    pub fn control_id(&self) -> &str {
        &self.control_id
    }

    fn header(&self, field: usize) -> Option<String> {
        self.segments
            .first()?
            .field(field)
            .first()
            .component(1)
            .sub(1)
            .text()
    }
}

/// Maps ORU^R01 (and R30, R32) and OUL^R22 to a draft by the v2-to-FHIR guide 1.0.0 and the status
/// tables of our design. `Err` when the message as a whole cannot be a person's results: another
/// type, no order, a result outside any order, OBR-25 `Y` or `Z`.
pub fn map_oru(message: &Message, connection: &Connection) -> Result<Draft, Issue> {
    oru::map(message, connection)
}

/// Builds the acknowledgement from the raw bytes of the message, so that an unreadable body still
/// gets its answer. `None` when not even MSH can be found. `now` is `YYYYMMDDHHMMSS+ZZZZ`.
pub fn acknowledge(
    bytes: &[u8],
    code: AckCode,
    text: &str,
    control_id: &str,
    now: &str,
) -> Option<Vec<u8>> {
    ack::build(bytes, code, text, control_id, now)
}

/// What mapping one message needs at hand.
struct Context<'a> {
    message: &'a Message,
    connection: &'a Connection,
    issues: Vec<Issue>,
    results_seen: usize,
}

impl<'a> Context<'a> {
    fn new(message: &'a Message, connection: &'a Connection) -> Context<'a> {
        Context {
            message,
            connection,
            issues: Vec::new(),
            results_seen: 0,
        }
    }

    fn note(&mut self, issue: Issue) {
        self.issues.push(issue);
    }

    fn next_result_place(&mut self) -> String {
        self.results_seen += 1;
        format!("OBX[{}]", self.results_seen)
    }

    /// MSH-3 and MSH-4, which tell senders behind one connection apart.
    fn facility(&self) -> String {
        let part = |n: usize| self.message.header(n).unwrap_or_default();
        format!("{}|{}", part(3), part(4))
    }

    /// MSH-3, else MSH-4: who sent this, for display.
    fn sender(&self) -> Option<String> {
        self.message.header(3).or_else(|| self.message.header(4))
    }

    fn message_time(&self) -> String {
        self.message.header(7).unwrap_or_default()
    }

    /// MSH-11: training, debugging, or the `Q` of instruments for control runs.
    fn is_test_run(&self) -> bool {
        matches!(self.message.header(11).as_deref(), Some("T" | "D" | "Q"))
    }

    fn moment(&self, field: Field<'_>) -> Option<dates::Moment> {
        dates::date_time(
            &field.first().component(1).sub(1).text()?,
            &self.connection.zone,
        )
    }

    /// Where the resource came from, and whether its code still waits for a mapping.
    fn meta(&self, is_unmapped: bool) -> Json {
        let name = urn_part(&self.connection.name);
        let source = format!(
            "urn:wayside:device:{name}#{}",
            urn_part(self.message.control_id())
        );
        let tag = shape::coding("urn:wayside:code", "unmapped", None);
        shape::Shape::default()
            .with("source", source)
            .with_list("tag", is_unmapped.then_some(tag).into_iter().collect())
            .json()
    }
}

/// A finding that does not stop the message. `place` is an HL7 path, as `OBX[3]-5`.
fn warning(number: &'static str, code: IssueCode, place: &str, text: &str) -> Issue {
    let severity = match code {
        IssueCode::Informational => Severity::Information,
        _ => Severity::Warning,
    };
    Issue {
        severity,
        ..Issue::error(number, code, place, text)
    }
}

#[cfg(test)]
mod tests;
