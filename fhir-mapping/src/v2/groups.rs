//! Segments to patients, orders, results and specimens, for ORU (ORC OBR NTE {OBX NTE} {SPM}) and
//! OUL^R22 ({SPM {OBR ORC NTE {OBX NTE}}}).

use super::Message;
use super::segments::Segment;
use crate::model::{Issue, IssueCode};

/// What the message says of one patient, or of none when PID is missing.
#[derive(Default)]
pub(super) struct PatientPart<'m> {
    pub pid: Option<&'m Segment>,
    pub orders: Vec<Order<'m>>,
}

/// One OBR with what belongs to it.
pub(super) struct Order<'m> {
    pub obr: &'m Segment,
    pub orc: Option<&'m Segment>,
    pub notes: Vec<&'m Segment>,
    pub results: Vec<ResultPart<'m>>,
    pub specimen: Option<&'m Segment>,
}

/// One OBX with its notes.
pub(super) struct ResultPart<'m> {
    pub obx: &'m Segment,
    pub notes: Vec<&'m Segment>,
}

/// Groups the segments. `Err` when a result stands outside any order or no order is there at all.
pub(super) fn group(message: &Message) -> Result<Vec<PatientPart<'_>>, Issue> {
    let mut grouping = Grouping {
        specimen_first: message.message_type().0 == "OUL",
        ..Grouping::default()
    };
    for segment in &message.segments {
        grouping.take(segment)?;
    }
    grouping.parts.retain(|part| !part.orders.is_empty());
    if grouping.parts.is_empty() {
        let text = "the message holds no order (OBR)";
        return Err(Issue::error("E-V2-23", IssueCode::Required, "OBR", text));
    }
    Ok(grouping.parts)
}

#[derive(Default)]
struct Grouping<'m> {
    specimen_first: bool,
    parts: Vec<PatientPart<'m>>,
    /// ORC that stands before its OBR.
    orc: Option<&'m Segment>,
    /// SPM that stands before its OBR.
    specimen: Option<&'m Segment>,
}

impl<'m> Grouping<'m> {
    fn take(&mut self, segment: &'m Segment) -> Result<(), Issue> {
        match segment.name.as_str() {
            "PID" => self.begin_patient(segment),
            "ORC" => self.take_orc(segment),
            "OBR" => self.begin_order(segment),
            "SPM" => self.take_specimen(segment),
            "NTE" => self.take_note(segment),
            "OBX" => return self.take_result(segment),
            _ => {}
        }
        Ok(())
    }

    fn begin_patient(&mut self, pid: &'m Segment) {
        self.orc = None;
        self.specimen = None;
        self.parts.push(PatientPart {
            pid: Some(pid),
            orders: Vec::new(),
        });
    }

    fn take_orc(&mut self, orc: &'m Segment) {
        let specimen_first = self.specimen_first;
        match self.order() {
            Some(order) if specimen_first && order.orc.is_none() => order.orc = Some(orc),
            _ => self.orc = Some(orc),
        }
    }

    fn begin_order(&mut self, obr: &'m Segment) {
        if self.parts.is_empty() {
            self.parts.push(PatientPart::default());
        }
        let order = Order {
            obr,
            orc: self.orc.take(),
            notes: Vec::new(),
            results: Vec::new(),
            specimen: self.specimen,
        };
        if let Some(part) = self.parts.last_mut() {
            part.orders.push(order);
        }
    }

    fn take_specimen(&mut self, specimen: &'m Segment) {
        let specimen_first = self.specimen_first;
        match self.order() {
            Some(order) if !specimen_first => order.specimen = Some(specimen),
            _ => self.specimen = Some(specimen),
        }
    }

    fn take_note(&mut self, note: &'m Segment) {
        if let Some(order) = self.order() {
            match order.results.last_mut() {
                Some(result) => result.notes.push(note),
                None => order.notes.push(note),
            }
        }
    }

    fn take_result(&mut self, obx: &'m Segment) -> Result<(), Issue> {
        let is_about_specimen = self.specimen_first && self.specimen.is_some();
        match self.order() {
            Some(order) => {
                let notes = Vec::new();
                order.results.push(ResultPart { obx, notes });
                Ok(())
            }
            None if is_about_specimen => Ok(()),
            None => {
                let text = "a result (OBX) stands before any order (OBR)";
                Err(Issue::error("E-V2-8", IssueCode::Structure, "OBX", text))
            }
        }
    }

    fn order(&mut self) -> Option<&mut Order<'m>> {
        self.parts.last_mut()?.orders.last_mut()
    }
}
