//! `near`: places within a distance of a point (R4 Location, search parameter `near`).

use super::escape::{split, unescape};
use crate::model::Json;
use crate::terminology::measure;

/// A point on the earth, in degrees as they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::search) struct Place {
    pub(in crate::search) latitude: String,
    pub(in crate::search) longitude: String,
}

/// `latitude|longitude[|distance[|units]]`
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::search) struct PlaceTest {
    latitude: f64,
    longitude: f64,
    metres: f64,
}

/// Without a distance the server chooses: a day's walk there and back.
const DEFAULT_METRES: f64 = 25_000.0;
/// Without units: kilometres.
const DEFAULT_UNIT: &str = "km";
const EARTH_RADIUS_METRES: f64 = 6_371_008.8;

pub(in crate::search) fn collect(value: &Json, found: &mut dyn FnMut(Place)) {
    let number = |key| value.get(key).and_then(Json::as_number).map(str::to_owned);
    if let (Some(latitude), Some(longitude)) = (number("latitude"), number("longitude")) {
        found(Place {
            latitude,
            longitude,
        });
    }
}

impl PlaceTest {
    pub(in crate::search) fn parse(text: &str) -> Option<PlaceTest> {
        let parts: Vec<String> = split(text, '|').into_iter().map(unescape).collect();
        let mut parts = parts.iter().map(String::as_str);
        let (latitude, longitude) = (
            degrees(parts.next()?, 90.0)?,
            degrees(parts.next()?, 180.0)?,
        );
        let distance = parts.next().filter(|text| !text.is_empty());
        let unit = parts.next().filter(|text| !text.is_empty());
        if parts.next().is_some() {
            return None;
        }
        let metres = match distance {
            None => DEFAULT_METRES,
            Some(number) => metres(number, unit.unwrap_or(DEFAULT_UNIT))?,
        };
        Some(PlaceTest {
            latitude,
            longitude,
            metres,
        })
    }

    pub(in crate::search) fn matches(self, place: &Place) -> bool {
        let latitude = degrees(&place.latitude, 90.0);
        let longitude = degrees(&place.longitude, 180.0);
        let (Some(latitude), Some(longitude)) = (latitude, longitude) else {
            return false;
        };
        self.distance(latitude, longitude) <= self.metres
    }

    /// Along the surface, by the haversine formula.
    fn distance(self, latitude: f64, longitude: f64) -> f64 {
        let (a, b) = (self.latitude.to_radians(), latitude.to_radians());
        let across = ((b - a) / 2.0).sin().powi(2);
        let along = ((longitude - self.longitude).to_radians() / 2.0)
            .sin()
            .powi(2);
        let part = (across + a.cos() * b.cos() * along).clamp(0.0, 1.0);
        2.0 * EARTH_RADIUS_METRES * part.sqrt().asin()
    }
}

fn degrees(text: &str, limit: f64) -> Option<f64> {
    let number: f64 = text.parse().ok()?;
    (number.abs() <= limit).then_some(number)
}

fn metres(number: &str, unit: &str) -> Option<f64> {
    let unit = match unit {
        "mi" => "[mi_i]",
        unit => unit,
    };
    let metres = measure::conversion(unit, "m")?.apply(number)?;
    metres.parse().ok().filter(|metres: &f64| *metres >= 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(asked: &str, latitude: &str, longitude: &str, expected: bool) {
        let place = Place {
            latitude: latitude.to_owned(),
            longitude: longitude.to_owned(),
        };
        let test = PlaceTest::parse(asked).unwrap();
        assert_eq!(test.matches(&place), expected, "{asked}");
    }

    #[test]
    fn distances() {
        // Dar es Salaam to Zanzibar is 71.1 km, 44.2 miles.
        check("-6.8|39.28|73|km", "-6.165", "39.2026", true);
        check("-6.8|39.28|70|km", "-6.165", "39.2026", false);
        check("-6.8|39.28|73000|m", "-6.165", "39.2026", true);
        check("-6.8|39.28|44|[mi_i]", "-6.165", "39.2026", false);
        check("-6.8|39.28|45|[mi_us]", "-6.165", "39.2026", true);
        check("-6.8|39.28|73", "-6.165", "39.2026", true);
        check("-6.8|39.28", "-6.81", "39.3", true);
        check("-6.8|39.28", "-6.165", "39.2026", false);
        // Across the date line, and over the pole.
        check("0|179.9|30|km", "0", "-179.9", true);
        check("89.9|0|30|km", "89.9", "180", true);
        check("0|0|0", "0.0", "-0.0", true);
    }

    #[test]
    fn refused() {
        for text in [
            "",
            "1",
            "91|0",
            "0|181",
            "a|b",
            "0|0|-1|km",
            "0|0|1|kg",
            "0|0|1|km|x",
            "NaN|0",
        ] {
            assert_eq!(PlaceTest::parse(text), None, "{text}");
        }
    }
}
