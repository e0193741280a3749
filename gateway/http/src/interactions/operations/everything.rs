//! `$everything` of a patient, of all patients, or of an encounter.
//! <https://hl7.org/fhir/R4/patient-operation-everything.html>

use super::{Asked, Inputs, Target, inputs};
use crate::exchange::Answer;
use crate::interactions::bundle_text::BundleText;
use crate::interactions::{answers, aside};
use fhir_mapping::model::Json;
use fhir_mapping::search::encode_pairs;
use fhir_mapping::validate::is_resource_type;
use gateway_ground::failure::Failure;
use gateway_repository::{Cursor, EverythingPage, EverythingRequest, ManyPlace, Part, Place};
use std::collections::HashSet;
use store::{ResourceKey, Rid, StoredVersion};

/// Our own parameter in `next` links.
const AFTER: &str = "_after";

pub(super) async fn answer(asked: Asked) -> Result<Answer, Failure> {
    let focus = match &asked.target {
        Target::Instance(key) => key.clone(),
        Target::Type(name) => ResourceKey {
            resource_type: name.clone(),
            id: String::new(),
        },
        Target::System => return Err(inputs::missing("id")),
    };
    let is_patient = focus.resource_type == "Patient";
    asked.inputs.check_known(match is_patient {
        true => &["start", "end", "_since", "_type", "_count", AFTER],
        false => &["_since", "_type", "_count", AFTER],
    })?;
    let link = link(&asked, &focus);
    let page_size_max = asked.surface.page_size_max;
    let mut request = request(&asked.inputs, focus, page_size_max)?;
    let after = asked.inputs.text(AFTER)?;
    let after = after.map(|text| place(text, &link)).transpose()?;
    let is_all = matches!(asked.target, Target::Type(_));
    let repository = asked.surface.repository.clone();
    let (page, next) = aside(move || match is_all {
        true => {
            let many = repository.everything_of_all(&request, after)?;
            Ok((many.page, many.next))
        }
        false => {
            request.after = after.and_then(|after| after.inside);
            let page = repository.everything(&request)?;
            let next = page.next.map(|place| ManyPlace {
                focus: Rid(0),
                inside: Some(place),
                rid_max: place.rid_max,
            });
            Ok((page, next))
        }
    })
    .await?;
    let base_url = &asked.exchange.base_url;
    Ok(answers::body(bundle(&page, (&link, next), base_url)))
}

fn request(
    inputs: &Inputs,
    focus: ResourceKey,
    page_size_max: usize,
) -> Result<EverythingRequest, Failure> {
    let types = inputs.texts("_type")?;
    if types.iter().any(|name| !is_resource_type(name)) {
        return Err(inputs::wrong("_type", "takes names of R4 resource types"));
    }
    let count = inputs.number("_count")?.unwrap_or(page_size_max);
    Ok(EverythingRequest {
        focus,
        types: types.into_iter().map(str::to_owned).collect::<HashSet<_>>(),
        since_ms: inputs.instant("_since")?,
        start: date(inputs, "start")?,
        end: date(inputs, "end")?,
        count: count.clamp(1, page_size_max),
        after: None,
        rid_max: None,
    })
}

/// A date without time.
fn date(inputs: &Inputs, name: &str) -> Result<Option<String>, Failure> {
    let Some(text) = inputs.text(name)? else {
        return Ok(None);
    };
    let is_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    let is_shaped = matches!(lengths.as_slice(), [4] | [4, 2] | [4, 2, 2]);
    if is_shaped && text.split('-').all(is_digits) {
        return Ok(Some(text.to_owned()));
    }
    Err(inputs::wrong(name, "takes a date, as 2026-03-01"))
}

/// The self link: the URL with everything asked but the place of the page.
fn link(asked: &Asked, focus: &ResourceKey) -> String {
    let base = &asked.exchange.base_url;
    let url = match &asked.target {
        Target::Type(name) => format!("{base}/{name}/$everything"),
        _ => format!("{base}/{}/{}/$everything", focus.resource_type, focus.id),
    };
    let pairs = asked.inputs.pairs().into_iter();
    let pairs: Vec<(String, String)> = pairs
        .filter(|(name, _)| *name != AFTER)
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    match pairs.is_empty() {
        true => url,
        false => format!("{url}?{}", encode_pairs(&pairs)),
    }
}

fn next_link(link: &str, place: ManyPlace) -> String {
    let part = match place.inside.map(|inside| inside.part) {
        Some(Part::Focus) => 0,
        Some(Part::Compartment) => 1,
        Some(Part::Mentioned) => 2,
        None => 3,
    };
    let mut sort_key = vec![part];
    sort_key.extend(place.rid_max.0.to_be_bytes());
    let cursor = Cursor {
        seq: 0,
        last_rid: place.focus.0,
        asked_ms: 0,
        sort_key,
        rid: place.inside.map_or(0, |inside| inside.rid.0),
        total: None,
    };
    let mark = if link.contains('?') { '&' } else { '?' };
    format!("{link}{mark}{AFTER}={}", cursor.format(path_of(link)))
}

fn place(text: &str, link: &str) -> Result<ManyPlace, Failure> {
    let cursor = Cursor::parse(text, path_of(link))?;
    let read = || {
        let (part, rid_max) = cursor.sort_key.split_first()?;
        let part = match part {
            0 => Some(Part::Focus),
            1 => Some(Part::Compartment),
            2 => Some(Part::Mentioned),
            3 => None,
            _ => return None,
        };
        let rid_max = Rid(u64::from_be_bytes(*rid_max.first_chunk()?));
        Some(ManyPlace {
            focus: Rid(cursor.last_rid),
            inside: part.map(|part| Place {
                part,
                rid: Rid(cursor.rid),
                rid_max,
            }),
            rid_max,
        })
    };
    read().ok_or_else(|| inputs::wrong(AFTER, "is damaged; ask anew"))
}

/// What the place is signed over: the same below every name of this server.
fn path_of(link: &str) -> &str {
    let path = link.split_once("/fhir/").map(|(_, path)| path);
    path.unwrap_or(link)
}

fn bundle(
    page: &EverythingPage,
    (link, next): (&str, Option<ManyPlace>),
    base_url: &str,
) -> Vec<u8> {
    let mut links = vec![("self", link.to_owned())];
    links.extend(next.map(|place| ("next", next_link(link, place))));
    let mut bundle = BundleText::new("searchset", page.total, &links);
    let mut push = |stored: &StoredVersion, mode: &str| {
        let full_url = format!("{base_url}/{}/{}", stored.key.resource_type, stored.key.id);
        let mode = Json::object([("mode", mode.into())]);
        bundle.push(Some(&full_url), &stored.body, &[("search", mode)]);
    };
    page.matches.iter().for_each(|stored| push(stored, "match"));
    page.included
        .iter()
        .for_each(|stored| push(stored, "include"));
    bundle.finish()
}
