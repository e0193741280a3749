//! A simulated haematology analyzer: it builds ORU^R01 messages, sends them over MLLP and keeps
//! sending the same bytes until an acknowledgement of that very message comes. It shares no code
//! with the gateway, so that neither hides the other's mistakes.

use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// One sample's results as the instrument knows them.
#[derive(Clone, Debug)]
pub struct LabResult {
    pub patient: PatientLabel,
    /// Sample number; the report's identity together with the panel's code.
    pub accession: String,
    /// Order number of the EMR, when the sample was ordered there.
    pub placer_order: Option<String>,
    /// (code, name, coding system), as `("57021-8", "CBC W Auto Diff", "LN")`.
    pub panel: (String, String, String),
    pub measurements: Vec<Measurement>,
    pub status: ResultStatus,
    /// `YYYYMMDDHHMMSS`, with `+ZZZZ` if the instrument knows its offset.
    pub time: String,
}

/// What stands on the tube.
#[derive(Clone, Debug, Default)]
pub struct PatientLabel {
    pub id: String,
    /// Assigning authority (PID-3.4); empty on most instruments.
    pub authority: String,
    pub family: String,
    pub given: String,
    /// `YYYYMMDD`.
    pub birth_date: String,
    /// `F`, `M`, `O` or `U`.
    pub sex: String,
}

/// One measured value.
#[derive(Clone, Debug)]
pub struct Measurement {
    /// (code, name, coding system), as `("718-7", "Hemoglobin", "LN")`.
    pub code: (String, String, String),
    /// As displayed: digits are sent as they are.
    pub value: String,
    pub unit: String,
    pub reference_range: String,
    /// OBX-8, as `H`; empty for none.
    pub flag: String,
}

/// OBR-25 and OBX-11.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultStatus {
    Preliminary,
    Final,
    Corrected,
    Deleted,
}

/// What the gateway answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// MSA-1: `AA`, `AE`, `AR`.
    pub code: String,
    /// MSA-2: the message it speaks of.
    pub control_id: String,
    pub text: String,
    /// How often the message was sent until this answer.
    pub attempts: u32,
}

/// Why a result did not get through.
#[derive(Debug)]
pub enum AnalyzerError {
    /// The gateway will never take this message (`AR`).
    Refused(Ack),
    /// No acknowledgement after all attempts; the last trouble is told.
    GaveUp { attempts: u32, last: String },
}

impl std::fmt::Display for AnalyzerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            AnalyzerError::Refused(ack) => write!(f, "refused with {}: {}", ack.code, ack.text),
            AnalyzerError::GaveUp { attempts, last } => {
                write!(f, "no acknowledgement after {attempts} attempts: {last}")
            }
        }
    }
}

impl std::error::Error for AnalyzerError {}

/// A connection to a gateway that is made anew whenever it breaks.
#[derive(Debug)]
pub struct Analyzer {
    address: SocketAddr,
    /// MSH-3, and the first part of every control id.
    pub name: String,
    /// Wait for an acknowledgement; after it the socket is dropped, so a late answer cannot be
    /// taken for the next message's.
    pub ack_timeout: Duration,
    /// Pause before sending again.
    pub retry_pause: Duration,
    pub attempts_max: u32,
    stream: Option<TcpStream>,
    sent: u64,
}

const VT: u8 = 0x0B;
const FS: u8 = 0x1C;
const CR: u8 = 0x0D;
/// An acknowledgement is some hundred bytes; more than this is none.
const ACK_SIZE_BYTES_MAX: usize = 64 * 1024;

impl Analyzer {
    /// Connects once, so that a wrong address shows at once.
    pub async fn connect(address: SocketAddr) -> std::io::Result<Analyzer> {
        let mut analyzer = Analyzer::new(address);
        analyzer.stream = Some(TcpStream::connect(address).await?);
        Ok(analyzer)
    }

    /// Connects at the first message.
    pub fn new(address: SocketAddr) -> Analyzer {
        Analyzer {
            address,
            name: "SIM-CBC".to_owned(),
            ack_timeout: Duration::from_secs(5),
            retry_pause: Duration::from_millis(250),
            attempts_max: 40,
            stream: None,
            sent: 0,
        }
    }

    /// Sends one result and waits until it is stored (`AA`). Sends again on `AE`, on silence and
    /// on a broken connection; the message stays the same to the byte.
    pub async fn send_result(&mut self, result: &LabResult) -> Result<Ack, AnalyzerError> {
        self.sent += 1;
        let control_id = format!("{}-{}-{}", self.name, result.accession, self.sent);
        let message = message(&self.name, &control_id, result);
        self.send_message(message.as_bytes(), &control_id).await
    }

    /// Sends raw message bytes whose MSH-10 is `control_id`.
    pub async fn send_message(
        &mut self,
        message: &[u8],
        control_id: &str,
    ) -> Result<Ack, AnalyzerError> {
        let frame = [&[VT], message, &[FS, CR]].concat();
        let mut last = String::new();
        for attempt in 1..=self.attempts_max {
            if attempt > 1 {
                sleep(self.retry_pause).await;
            }
            match self.attempt(&frame, control_id).await {
                Ok(ack) if ack.code == "AA" || ack.code == "CA" => {
                    return Ok(Ack {
                        attempts: attempt,
                        ..ack
                    });
                }
                Ok(ack) if ack.code == "AR" || ack.code == "CR" => {
                    return Err(AnalyzerError::Refused(ack));
                }
                Ok(ack) => last = format!("{} {}", ack.code, ack.text),
                Err(trouble) => {
                    self.stream = None;
                    last = trouble;
                }
            }
        }
        let attempts = self.attempts_max;
        Err(AnalyzerError::GaveUp { attempts, last })
    }

    async fn attempt(&mut self, frame: &[u8], control_id: &str) -> Result<Ack, String> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => TcpStream::connect(self.address)
                .await
                .map_err(|e| e.to_string())?,
        };
        stream.write_all(frame).await.map_err(|e| e.to_string())?;
        let answer = timeout(self.ack_timeout, answer_to(&mut stream, control_id)).await;
        let ack = answer.map_err(|_elapsed| "no acknowledgement in time".to_owned())??;
        self.stream = Some(stream);
        Ok(ack)
    }
}

/// Reads frames until one acknowledges this message; answers to others are late ones.
async fn answer_to(stream: &mut TcpStream, control_id: &str) -> Result<Ack, String> {
    let mut buffer: Vec<u8> = Vec::new();
    loop {
        if let Some(end) = buffer.windows(2).position(|pair| pair == [FS, CR]) {
            let rest = buffer.split_off(end + 2);
            let frame = std::mem::replace(&mut buffer, rest);
            let start = frame.iter().position(|b| *b == VT);
            let start = start.ok_or("an answer without a start block")?;
            let body = frame.get(start + 1..end).unwrap_or_default();
            match read_ack(&String::from_utf8_lossy(body)) {
                Some(ack) if ack.control_id == control_id => return Ok(ack),
                Some(_late) => continue,
                None => return Err("an answer without MSA".to_owned()),
            }
        }
        if buffer.len() > ACK_SIZE_BYTES_MAX {
            return Err("an answer without an end".to_owned());
        }
        let read = stream
            .read_buf(&mut buffer)
            .await
            .map_err(|e| e.to_string())?;
        if read == 0 {
            return Err("the connection was closed".to_owned());
        }
    }
}

fn read_ack(message: &str) -> Option<Ack> {
    let msa = message.split('\r').find(|line| line.starts_with("MSA"))?;
    let mut fields = msa.split('|').skip(1).map(str::to_owned);
    Some(Ack {
        code: fields.next()?,
        control_id: fields.next()?,
        text: fields.next().unwrap_or_default(),
        attempts: 0,
    })
}

/// The ORU^R01 of a result, segments ended by CR.
pub fn message(sender: &str, control_id: &str, result: &LabResult) -> String {
    let status = result.status.code();
    let report_status = if status == "D" { "C" } else { status };
    let patient = &result.patient;
    let panel = coded(&result.panel);
    let placer = result.placer_order.as_deref().unwrap_or_default();
    let (accession, placer) = (escape(&result.accession), escape(placer));
    let mut lines = vec![
        format!(
            "MSH|^~\\&|{}|LAB|WAYSIDE|CLINIC|{}||ORU^R01^ORU_R01|{}|P|2.5.1||||||UNICODE UTF-8",
            escape(sender),
            result.time,
            escape(control_id),
        ),
        format!(
            "PID|1||{}^^^{}^MR||{}^{}||{}|{}",
            escape(&patient.id),
            escape(&patient.authority),
            escape(&patient.family),
            escape(&patient.given),
            patient.birth_date,
            patient.sex,
        ),
        format!(
            "OBR|1|{placer}|{accession}|{panel}|||{time}|||||||||||||||{time}||HM|{report_status}",
            time = result.time,
        ),
    ];
    for (index, measurement) in result.measurements.iter().enumerate() {
        lines.push(format!(
            "OBX|{}|NM|{}||{}|{}|{}|{}|||{status}|||{}",
            index + 1,
            coded(&measurement.code),
            escape(&measurement.value),
            escape(&measurement.unit),
            escape(&measurement.reference_range),
            escape(&measurement.flag),
            result.time,
        ));
    }
    lines.join("\r") + "\r"
}

impl ResultStatus {
    fn code(self) -> &'static str {
        match self {
            ResultStatus::Preliminary => "P",
            ResultStatus::Final => "F",
            ResultStatus::Corrected => "C",
            ResultStatus::Deleted => "D",
        }
    }
}

fn coded((code, name, system): &(String, String, String)) -> String {
    [code, name, system].map(|part| escape(part)).join("^")
}

/// The sender's own escaping, delimiters to `\F\` and so on.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\E\\"),
            '|' => out.push_str("\\F\\"),
            '^' => out.push_str("\\S\\"),
            '&' => out.push_str("\\T\\"),
            '~' => out.push_str("\\R\\"),
            '\r' | '\n' => out.push_str("\\.br\\"),
            c => out.push(c),
        }
    }
    out
}

/// A blood count of four values, for trying things out.
pub fn blood_count(patient: PatientLabel, accession: &str, time: &str) -> LabResult {
    let code = |code: &str, name: &str| (code.to_owned(), name.to_owned(), "LN".to_owned());
    let rows = [
        (
            "6690-2",
            "Leukocytes",
            "12.40",
            "10*3/uL",
            "4.00-10.00",
            "H",
        ),
        ("789-8", "Erythrocytes", "4.53", "10*6/uL", "3.80-5.20", "N"),
        ("718-7", "Hemoglobin", "9.1", "g/dL", "12.0-16.0", "L"),
        ("777-3", "Platelets", "250", "10*3/uL", "150-400", "N"),
    ];
    let measurement =
        |(loinc, name, value, unit, range, flag): (&str, &str, &str, &str, &str, &str)| {
            Measurement {
                code: code(loinc, name),
                value: value.to_owned(),
                unit: unit.to_owned(),
                reference_range: range.to_owned(),
                flag: flag.to_owned(),
            }
        };
    LabResult {
        patient,
        accession: accession.to_owned(),
        placer_order: None,
        panel: code("57021-8", "CBC W Auto Differential panel - Blood"),
        measurements: rows.map(measurement).to_vec(),
        status: ResultStatus::Final,
        time: time.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// A gateway that gives these answers, one a frame; `None` closes instead of answering.
    async fn double(answers: Vec<Option<&'static str>>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let mut answers = answers.into_iter();
            'connections: loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                loop {
                    let mut frame = Vec::new();
                    while !frame.ends_with(&[FS, CR]) {
                        if stream.read_buf(&mut frame).await.unwrap_or(0) == 0 {
                            continue 'connections;
                        }
                    }
                    let Some(Some(answer)) = answers.next() else {
                        continue 'connections;
                    };
                    let reply = format!("\u{b}MSH|^~\\&|\rMSA|{answer}\r\u{1c}\r");
                    stream.write_all(reply.as_bytes()).await.unwrap();
                }
            }
        });
        address
    }

    fn result() -> LabResult {
        let patient = PatientLabel {
            id: "4711".to_owned(),
            family: "O^Neil".to_owned(),
            ..PatientLabel::default()
        };
        blood_count(patient, "S-1", "20261124101500")
    }

    /// Outcome as `code after n`, or the refusal.
    async fn check(answers: Vec<Option<&'static str>>, expected: &str) {
        let mut analyzer = Analyzer::connect(double(answers).await).await.unwrap();
        analyzer.retry_pause = Duration::from_millis(5);
        analyzer.ack_timeout = Duration::from_millis(500);
        analyzer.attempts_max = 4;
        let outcome = match analyzer.send_message(b"MSH|^~\\&|", "7").await {
            Ok(ack) => format!("{} after {}", ack.code, ack.attempts),
            Err(error) => error.to_string(),
        };
        assert_eq!(outcome, expected);
    }

    #[tokio::test]
    async fn sends_until_its_own_message_is_acknowledged() {
        check(vec![Some("AA|7")], "AA after 1").await;
        check(vec![Some("AE|7|full"), Some("AA|7")], "AA after 2").await;
        check(vec![None, Some("AA|7")], "AA after 2").await;
        check(vec![Some("AA|6"), Some("AA|7")], "AA after 2").await;
        check(vec![Some("AR|7|no")], "refused with AR: no").await;
        let trouble = "no acknowledgement after 4 attempts: the connection was closed";
        check(vec![None; 4], trouble).await;
    }

    #[test]
    fn messages_are_whole_and_escaped() {
        let text = message("SIM", "9", &result());
        let lines: Vec<&str> = text.trim_end().split('\r').collect();
        assert_eq!(lines.len(), 7);
        assert!(
            lines[1].starts_with("PID|1||4711^^^^MR||O\\S\\Neil^"),
            "{}",
            lines[1]
        );
        let obr: Vec<&str> = lines[2].split('|').collect();
        assert_eq!((obr[3], obr[22], obr[25]), ("S-1", "20261124101500", "F"));
        let obx: Vec<&str> = lines[3].split('|').collect();
        assert_eq!(
            (obx[5], obx[8], obx[11], obx[14]),
            ("12.40", "H", "F", "20261124101500")
        );
    }
}
