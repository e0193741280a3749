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
use asked::{Asked, Search};
use gateway_ground::failure::Failure;
use gateway_repository::{Repository, SearchPage};

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
    let (search, page) = match asked.is_light() {
        true => at_once(&surface.repository, asked)?,
        false => {
            let repository = surface.repository.clone();
            let parse = move || Ok((asked.parse(&repository)?, None));
            surface.lanes.brief(parse).await?
        }
    };
    let (search, page) = match page {
        Some(page) => (search, page),
        None => in_lanes(surface, search).await?,
    };
    let bundle = shown::bundle(&page, &search, (&url, &exchange.base_url));
    Ok(answers::body(bundle))
}

/// Read, and its page when that is no more than a few reads: going to another thread would take as
/// long again.
fn at_once(repository: &Repository, asked: Asked) -> Result<(Search, Option<SearchPage>), Failure> {
    let search = asked.parse(repository)?;
    let page = repository.search_at_once(&search.request)?;
    Ok((search, page))
}

async fn in_lanes(surface: &Surface, search: Search) -> Result<(Search, SearchPage), Failure> {
    let repository = surface.repository.clone();
    let brief = move || {
        let page = repository.search_briefly(&search.request)?;
        Ok((search, page))
    };
    let (search, page) = surface.lanes.brief(brief).await?;
    if let Some(page) = page {
        return Ok((search, page));
    }
    let repository = surface.repository.clone();
    let long = move || {
        let page = repository.search(&search.request)?;
        Ok((search, page))
    };
    surface.lanes.long(long).await
}
