//! MSH as raw bytes: found before any character set is known, so that even a message that cannot be
//! decoded gets its acknowledgement.

/// The fields of the first MSH, undecoded.
pub(in crate::v2) struct RawHeader<'a> {
    pub separator: u8,
    /// `fields[n]` is MSH-n; 0 and 1 are empty (the separator is MSH-1).
    fields: Vec<&'a [u8]>,
    /// Where the segment `MSH` begins.
    pub start: usize,
}

impl<'a> RawHeader<'a> {
    /// Finds `MSH` at the start of a line; what stands before it (BOM, FHS, BHS) is skipped.
    pub(in crate::v2) fn find(bytes: &'a [u8]) -> Option<RawHeader<'a>> {
        let begins = |at: usize| match at.checked_sub(1).and_then(|before| bytes.get(before)) {
            None => true,
            Some(before) => matches!(before, b'\r' | b'\n' | b' ' | 0xBF | 0x0B),
        };
        let windows = bytes.windows(3).enumerate();
        let mut found = windows.filter(|(at, name)| *name == b"MSH" && begins(*at));
        let start = found.next()?.0;
        let line = bytes.get(start..)?;
        let line = line.split(|b| matches!(b, b'\r' | b'\n')).next()?;
        let separator = *line.get(3)?;
        if separator.is_ascii_alphanumeric() || separator <= b' ' || !separator.is_ascii() {
            return None;
        }
        let mut fields: Vec<&[u8]> = vec![&[]];
        fields.extend(line.split(|b| *b == separator));
        // The name stands where MSH-1 should: the separator itself is that field.
        if let Some(name) = fields.get_mut(1) {
            *name = &[];
        }
        let encoding_characters = fields.get(2)?.len();
        (2..=5).contains(&encoding_characters).then_some(RawHeader {
            separator,
            fields,
            start,
        })
    }

    /// MSH-n as sent; empty when absent.
    pub(in crate::v2) fn field(&self, number: usize) -> &'a [u8] {
        self.fields.get(number).copied().unwrap_or_default()
    }

    /// Component 1, 2 or 3 of MSH-n.
    pub(in crate::v2) fn component(&self, number: usize, component: usize) -> &'a [u8] {
        let separator = self.component_separator();
        let mut parts = self.field(number).split(|b| *b == separator);
        parts.nth(component.saturating_sub(1)).unwrap_or_default()
    }

    pub(in crate::v2) fn component_separator(&self) -> u8 {
        self.field(2).first().copied().unwrap_or(b'^')
    }

    /// The first repetition of MSH-18, as text.
    pub(in crate::v2) fn charset(&self) -> String {
        let repetition = self.field(2).get(1).copied().unwrap_or(b'~');
        let first = self.field(18).split(|b| *b == repetition).next();
        String::from_utf8_lossy(first.unwrap_or_default())
            .trim()
            .to_owned()
    }
}
