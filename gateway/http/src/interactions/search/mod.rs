//! GET and POST searches in a type, a compartment or everywhere: one page of matches, what they
//! include, and links. <https://hl7.org/fhir/R4/search.html>

mod asked;
pub(super) mod claims;
mod lanes;
mod shown;

pub use lanes::Lanes;

use super::{Surface, answers};
use crate::exchange::{Answer, Exchange};
use crate::route::Compartment;
use asked::Asked;
use gateway_ground::failure::Failure;

/// Where is searched.
#[derive(Clone, Copy)]
pub(super) enum Level<'a> {
    Type(&'a str),
    Compartment(&'a Compartment),
    System,
}

impl Level<'_> {
    /// The path below the base: `Patient`, `Patient/1/Observation`, or nothing.
    fn path(self) -> String {
        match self {
            Level::Type(resource_type) => format!("/{resource_type}"),
            Level::System => String::new(),
            Level::Compartment(compartment) => {
                let focus = &compartment.focus;
                let of = compartment.resource_type.as_deref().unwrap_or("*");
                format!("/{}/{}/{of}", focus.resource_type, focus.id)
            }
        }
    }
}

pub(super) async fn answer(
    surface: &Surface,
    exchange: &Exchange,
    level: Level<'_>,
) -> Result<Answer, Failure> {
    let asked = Asked::read(surface, exchange, level)?;
    let url = format!("{}{}", exchange.base_url, level.path());
    let repository = surface.repository.clone();
    let (search, page) = surface
        .lanes
        .brief(move || {
            let search = asked.parse(&repository)?;
            let page = repository.search_briefly(&search.request)?;
            Ok((search, page))
        })
        .await?;
    let (search, page) = match page {
        Some(page) => (search, page),
        None => {
            let repository = surface.repository.clone();
            let long = move || {
                let page = repository.search(&search.request)?;
                Ok((search, page))
            };
            surface.lanes.long(long).await?
        }
    };
    let bundle = shown::bundle(&page, &search, (&url, &exchange.base_url));
    Ok(answers::body(bundle))
}
