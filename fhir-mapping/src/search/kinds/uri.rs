//! Uri parameters: equal to the letter (R4 3.1.1.4.12).

use super::escape::unescape;
use crate::search::terms::Sink;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::search) struct UriTest(String);

pub(in crate::search) fn post(uri: &str, sink: &mut Sink) {
    sink.put('=', &[uri]);
}

impl UriTest {
    pub(in crate::search) fn parse(text: &str) -> UriTest {
        UriTest(unescape(text))
    }

    pub(in crate::search) fn matches(&self, uri: &str) -> bool {
        self.0 == uri
    }

    /// Posts the term that every match has.
    pub(in crate::search) fn candidates(&self, sink: &mut Sink) -> bool {
        sink.put('=', &[&self.0]);
        true
    }
}
