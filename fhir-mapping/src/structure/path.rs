//! Where in a resource a finding is, kept on the stack and written out only when there is one.

/// One step of a FHIRPath, linked to the step before.
pub(crate) struct Path<'a> {
    before: Option<&'a Path<'a>>,
    name: &'a str,
    index: Option<usize>,
}

/// A name that no definition knows is shown up to here: it came from outside.
const NAME_CHARS_MAX: usize = 64;

impl<'a> Path<'a> {
    pub(crate) fn root(name: &'a str) -> Path<'a> {
        Path {
            before: None,
            name,
            index: None,
        }
    }

    pub(crate) fn member(&'a self, name: &'a str) -> Path<'a> {
        Path {
            before: Some(self),
            name,
            index: None,
        }
    }

    pub(crate) fn item(&self, index: usize) -> Path<'a> {
        Path {
            before: self.before,
            name: self.name,
            index: Some(index),
        }
    }

    /// The FHIRPath: `Patient.name[0].family`.
    pub(crate) fn text(&self) -> String {
        let mut text = match self.before {
            Some(before) => before.text() + ".",
            None => String::new(),
        };
        text.extend(self.name.chars().take(NAME_CHARS_MAX));
        if let Some(index) = self.index {
            text.push_str(&format!("[{index}]"));
        }
        text
    }
}
