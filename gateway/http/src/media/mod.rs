//! Forms of content on the wire: which form an answer takes, what a body may come as, compression,
//! and the one resource that is bytes. The interactions behind see JSON alone.

pub mod accept;
pub(super) mod binary;
pub(super) mod coding;
pub(super) mod incoming;

#[cfg(test)]
mod tests;

pub use accept::{Form, Format, Return};
pub use coding::Coding;
pub(crate) use coding::Packer;

/// A MIME type without its parameters, in small letters, and the FHIR release it may name.
struct Kind {
    name: String,
    release: Option<String>,
}

impl Kind {
    /// Reads `application/fhir+json; fhirVersion=4.0`.
    fn read(text: &str) -> Kind {
        let mut parts = text.split(';').map(|part| part.trim().to_ascii_lowercase());
        let name = parts.next().unwrap_or_default();
        let release = parts.find_map(|part| {
            let (name, value) = part.split_once('=')?;
            (name.trim() == "fhirversion").then(|| value.trim().trim_matches('"').to_owned())
        });
        Kind { name, release }
    }

    /// R4, or R4B: whoever asks for that gets R4, which most of its resources equal; HTTP leaves it
    /// to a server to answer with the nearest it has, and bodies are judged as R4 either way.
    fn is_our_release(&self) -> bool {
        let Some(release) = &self.release else {
            return true;
        };
        ["4.0", "4.3"].iter().any(|ours| {
            let rest = release.strip_prefix(ours);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }

    /// Says the type that this is the content of a resource?
    fn format(&self) -> Option<Format> {
        Some(match self.name.as_str() {
            "application/fhir+json"
            | "application/json"
            | "application/json+fhir"
            | "text/json" => Format::Json,
            "application/fhir+xml" | "application/xml" | "application/xml+fhir" | "text/xml" => {
                Format::Xml
            }
            _ => return None,
        })
    }

    /// FHIR's own type, not just any JSON or XML.
    fn is_fhir(&self) -> bool {
        self.name.contains("fhir")
    }
}
