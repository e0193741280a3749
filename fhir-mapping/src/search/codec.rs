//! Search values as bytes: compact, versioned, and refused when the definitions have changed.
//!
//! Layout: format (u8), definitions digest (u32 BE), zone fingerprint (u32 BE), type, id, then per parameter: index, count,
//! values. Counts are LEB128. A text is its length doubled and its bytes, or, for a text that came
//! before (or is well known), its number doubled plus one.

use super::SearchValues;
use super::Zone;
use super::definitions::{self, Kind, Parameter, TypeDefinitions};
use super::kinds::calendar::Span;
use super::kinds::place::Place;
use super::kinds::quantity::Amount;
use super::kinds::reference::Link;
use super::kinds::token::Token;
use super::looks::Looks;
use super::values::Value;

const FORMAT: u8 = 2;

/// Texts that nearly every site has. Append only: their numbers are on disk.
const WELL_KNOWN: [&str; 12] = [
    "http://loinc.org",
    "http://snomed.info/sct",
    "http://unitsofmeasure.org",
    "http://terminology.hl7.org/CodeSystem/observation-category",
    "http://terminology.hl7.org/CodeSystem/v3-ActCode",
    "http://terminology.hl7.org/CodeSystem/condition-clinical",
    "http://terminology.hl7.org/CodeSystem/condition-ver-status",
    "http://www.nlm.nih.gov/research/umls/rxnorm",
    "http://hl7.org/fhir/sid/icd-10",
    "http://hl7.org/fhir/sid/cvx",
    "http://hl7.org/fhir/administrative-gender",
    "http://hl7.org/fhir/observation-status",
];

pub(super) fn encode(values: &SearchValues) -> Vec<u8> {
    let mut out = Encoder {
        bytes: Vec::with_capacity(512),
        texts: WELL_KNOWN.to_vec(),
    };
    out.bytes.push(FORMAT);
    let digest = values.definitions.map_or(0, |d| d.digest);
    out.bytes.extend(digest.to_be_bytes());
    out.bytes.extend(values.zone.to_be_bytes());
    out.text(&values.resource_type);
    out.text(&values.id);
    for (index, found) in &values.found {
        let place = values.definitions.and_then(|d| d.place_of(*index));
        out.count(place.unwrap_or(u64::MAX >> 1));
        out.count(u64::try_from(found.len()).unwrap_or_default());
        found.iter().for_each(|value| out.value(value));
    }
    out.bytes
}

struct Encoder<'a> {
    bytes: Vec<u8>,
    texts: Vec<&'a str>,
}

impl<'a> Encoder<'a> {
    fn count(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(0x80 | low_byte(number & 0x7f));
            number >>= 7;
        }
        self.bytes.push(low_byte(number));
    }

    fn text(&mut self, text: &'a str) {
        let number = |n: usize| u64::try_from(n).unwrap_or_default();
        if let Some(at) = self.texts.iter().position(|t| *t == text) {
            self.count(number(at) << 1 | 1);
        } else {
            self.texts.push(text);
            self.count(number(text.len()) << 1);
            self.bytes.extend(text.bytes());
        }
    }

    /// A byte of flags, and the texts that are there.
    fn optional(&mut self, texts: &[&'a Option<String>], extra: u8) {
        let flags = texts
            .iter()
            .fold(extra, |f, t| f << 1 | u8::from(t.is_some()));
        self.bytes.push(flags);
        texts.iter().copied().flatten().for_each(|t| self.text(t));
    }

    fn value(&mut self, value: &'a Value) {
        match value {
            Value::Token(token) => self.token(token),
            Value::Text(text) | Value::Uri(text) => self.text(text),
            Value::Date(span) => {
                self.bytes.extend(span.low.to_be_bytes());
                self.bytes.extend(span.high.to_be_bytes());
            }
            Value::Amount(a) => {
                self.optional(&[&a.low, &a.high, &a.system, &a.code, &a.unit], 0);
            }
            Value::Reference(link) => {
                self.optional(&[&link.target], u8::from(link.identifier.is_some()));
                if let Some(identifier) = &link.identifier {
                    self.optional(&[&identifier.system, &identifier.code], 0);
                }
            }
            Value::Place(place) => {
                self.text(&place.latitude);
                self.text(&place.longitude);
            }
            Value::Composite(components) => {
                for values in components {
                    self.count(u64::try_from(values.len()).unwrap_or_default());
                    values.iter().for_each(|value| self.value(value));
                }
            }
        }
    }

    fn token(&mut self, token: &'a Token) {
        let extra = u8::from(!token.types.is_empty()) << 1 | u8::from(token.implied);
        self.optional(&[&token.system, &token.code, &token.text], extra);
        if !token.types.is_empty() {
            self.count(u64::try_from(token.types.len()).unwrap_or_default());
            for (system, code) in &token.types {
                self.text(system);
                self.text(code);
            }
        }
    }
}

fn low_byte(number: u64) -> u8 {
    number.to_be_bytes().last().copied().unwrap_or_default()
}

/// With `looks`, values of other parameters are passed over.
pub(super) fn decode(bytes: &[u8], site: &Zone, looks: Option<&Looks>) -> Option<SearchValues> {
    let known = |resource_type: &str, digest| {
        let known = site.of_type(resource_type)?;
        (known.digest == digest).then_some(known)
    };
    decode_by(bytes, &known, looks)
}

/// By whichever definitions of this run made them.
pub(super) fn decode_former(bytes: &[u8]) -> Option<SearchValues> {
    decode_by(bytes, &definitions::former, None)
}

/// Definitions of a type by their digest.
type Known<'a> = dyn Fn(&str, u32) -> Option<&'static TypeDefinitions> + 'a;

fn decode_by(bytes: &[u8], known: &Known, looks: Option<&Looks>) -> Option<SearchValues> {
    let mut input = Decoder {
        rest: bytes,
        texts: WELL_KNOWN.to_vec(),
    };
    if input.byte()? != FORMAT {
        return None;
    }
    let digest = u32::from_be_bytes(input.array()?);
    let zone = u32::from_be_bytes(input.array()?);
    let (resource_type, id) = (input.text()?, input.text()?);
    let definitions = known(resource_type, digest)?;
    let mut found = Vec::new();
    while !input.rest.is_empty() {
        let index = definitions.number_at(input.count()?)?;
        let parameter = definitions.parameter(index)?;
        let count = input.count()?;
        if looks.is_some_and(|looks| !looks.has(definitions, index)) {
            (0..count).try_for_each(|_| input.pass_one_of(parameter))?;
            continue;
        }
        let values: Option<Vec<Value>> = (0..count)
            .map(|_| match parameter.kind {
                Kind::Composite => input.composite(parameter),
                kind => input.value(kind),
            })
            .collect();
        found.push((index, values?));
    }
    found.sort_by_key(|(index, _)| *index);
    Some(SearchValues {
        resource_type: resource_type.to_owned(),
        id: id.to_owned(),
        definitions: Some(definitions),
        zone,
        found,
    })
}

struct Decoder<'a> {
    rest: &'a [u8],
    texts: Vec<&'a str>,
}

impl<'a> Decoder<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*bytes)
    }

    fn count(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn text(&mut self) -> Option<&'a str> {
        let number = self.count()?;
        let half = usize::try_from(number >> 1).ok()?;
        if number & 1 == 1 {
            return self.texts.get(half).copied();
        }
        let (bytes, rest) = self.rest.split_at_checked(half)?;
        self.rest = rest;
        let text = std::str::from_utf8(bytes).ok()?;
        self.texts.push(text);
        Some(text)
    }

    fn optional<const N: usize>(&mut self) -> Option<([Option<String>; N], u8)> {
        let flags = self.byte()?;
        let mut texts = [const { None }; N];
        for (at, slot) in texts.iter_mut().enumerate() {
            if flags >> (N - 1 - at) & 1 == 1 {
                *slot = Some(self.text()?.to_owned());
            }
        }
        Some((texts, flags >> N))
    }

    fn value(&mut self, kind: Kind) -> Option<Value> {
        Some(match kind {
            Kind::Token => self.token()?,
            Kind::Text => Value::Text(self.text()?.to_owned()),
            Kind::Uri => Value::Uri(self.text()?.to_owned()),
            Kind::Date => Value::Date(Span {
                low: i64::from_be_bytes(self.array()?),
                high: i64::from_be_bytes(self.array()?),
            }),
            Kind::Number | Kind::Quantity => {
                let ([low, high, system, code, unit], _) = self.optional()?;
                Value::Amount(Amount {
                    low,
                    high,
                    system,
                    code,
                    unit,
                })
            }
            Kind::Reference => self.link()?,
            Kind::Place => Value::Place(Place {
                latitude: self.text()?.to_owned(),
                longitude: self.text()?.to_owned(),
            }),
            Kind::Composite | Kind::Sound => return None,
        })
    }

    /// Passes over a value of a parameter; its texts are remembered, for later ones may be the same.
    fn pass_one_of(&mut self, parameter: &Parameter) -> Option<()> {
        if parameter.kind != Kind::Composite {
            return self.pass(parameter.kind);
        }
        for component in &parameter.components {
            let count = self.count()?;
            (0..count).try_for_each(|_| self.pass(component.kind))?;
        }
        Some(())
    }

    fn pass(&mut self, kind: Kind) -> Option<()> {
        match kind {
            Kind::Token => {
                let flags = self.byte()?;
                self.pass_texts(flags & 0b111)?;
                if flags >> 3 & 2 == 2 {
                    let types = self.count()?;
                    (0..types).try_for_each(|_| self.pass_texts(0b11))?;
                }
                Some(())
            }
            Kind::Text | Kind::Uri => self.pass_texts(0b1),
            Kind::Date => self.array::<16>().map(|_| ()),
            Kind::Number | Kind::Quantity => {
                let flags = self.byte()?;
                self.pass_texts(flags & 0b1_1111)
            }
            Kind::Reference => {
                let flags = self.byte()?;
                self.pass_texts(flags & 0b1)?;
                if flags >> 1 == 1 {
                    let flags = self.byte()?;
                    self.pass_texts(flags & 0b11)?;
                }
                Some(())
            }
            Kind::Place => self.pass_texts(0b11),
            Kind::Composite | Kind::Sound => None,
        }
    }

    /// One text for each bit.
    fn pass_texts(&mut self, flags: u8) -> Option<()> {
        (0..flags.count_ones()).try_for_each(|_| self.text().map(|_| ()))
    }

    fn composite(&mut self, parameter: &Parameter) -> Option<Value> {
        let mut components = Vec::with_capacity(parameter.components.len());
        for component in &parameter.components {
            let count = self.count()?;
            let values: Option<Vec<Value>> =
                (0..count).map(|_| self.value(component.kind)).collect();
            components.push(values?);
        }
        Some(Value::Composite(components))
    }

    fn token(&mut self) -> Option<Value> {
        let ([system, code, text], extra) = self.optional()?;
        let mut types = Vec::new();
        if extra & 2 == 2 {
            for _ in 0..self.count()? {
                types.push((self.text()?.to_owned(), self.text()?.to_owned()));
            }
        }
        Some(Value::Token(Token {
            system,
            code,
            text,
            implied: extra & 1 == 1,
            types,
        }))
    }

    fn link(&mut self) -> Option<Value> {
        let ([target], has_identifier) = self.optional()?;
        let identifier = if has_identifier == 1 {
            let ([system, code], _) = self.optional()?;
            Some(Token {
                system,
                code,
                ..Token::default()
            })
        } else {
            None
        };
        Some(Value::Reference(Link { target, identifier }))
    }
}
