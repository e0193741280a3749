//! Random queries over Synthea's records: what the postings propose and the evaluator keeps is what
//! the evaluator keeps of everything.

use super::*;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read;

/// A store in small: every resource's values, and who posted which term.
struct Shelf {
    all: Vec<SearchValues>,
    postings: HashMap<Vec<u8>, BTreeSet<usize>>,
    /// Values that queries are made of, by type and parameter.
    texts: BTreeMap<(String, &'static str, &'static str), Vec<String>>,
}

fn bundles() -> Option<Vec<Json>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/synthea");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .ok()?
        .map(|f| f.unwrap().path())
        .collect();
    files.sort();
    let read = |path: &std::path::PathBuf| {
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path).unwrap();
        bzip2::read::BzDecoder::new(file)
            .read_to_end(&mut bytes)
            .ok()?;
        parse(&bytes, Limits::default()).ok()
    };
    Some(files.iter().filter_map(read).take(8).collect())
}

fn shelve(bundles: &[Json], zone: &Zone) -> Shelf {
    let mut shelf = Shelf {
        all: Vec::new(),
        postings: HashMap::new(),
        texts: BTreeMap::new(),
    };
    let entries = bundles.iter().flat_map(|b| b.items("entry"));
    for resource in entries.filter_map(|entry| entry.get("resource")) {
        let values = SearchValues::decode(&extract(resource, zone).encode(), zone).unwrap();
        for term in values.terms() {
            shelf
                .postings
                .entry(term)
                .or_default()
                .insert(shelf.all.len());
        }
        for (parameter, found) in values.by_parameter() {
            let place = (
                values.resource_type().to_owned(),
                parameter.name,
                parameter.kind.code(),
            );
            let texts = shelf.texts.entry(place).or_default();
            let new = found.iter().filter_map(text_of);
            texts.extend(new.take(400_usize.saturating_sub(texts.len())));
        }
        shelf.all.push(values);
    }
    shelf
}

fn text_of(value: &Value) -> Option<String> {
    Some(match value {
        Value::Token(token) => match (&token.system, &token.code) {
            (Some(system), Some(code)) => format!("{system}|{code}"),
            (_, code) => code.clone()?,
        },
        Value::Text(text) | Value::Uri(text) => text.replace(['\\', ',', '|', '$'], " "),
        Value::Reference(link) => link.target.clone()?,
        Value::Date(span) => {
            let low = span
                .low
                .clamp(-2_000_000_000_000_000, 4_000_000_000_000_000);
            jiff::Timestamp::from_microsecond(low).ok()?.to_string()
        }
        Value::Amount(amount) => {
            let unit = amount.code.as_ref().zip(amount.system.as_ref());
            let unit = unit
                .map(|(code, system)| format!("|{system}|{code}"))
                .unwrap_or_default();
            format!("{}{unit}", amount.low.as_ref()?)
        }
        Value::Place(place) => format!("{}|{}", place.latitude, place.longitude),
        Value::Composite(parts) => {
            let parts: Option<Vec<String>> = parts.iter().map(|v| text_of(v.first()?)).collect();
            parts?.join("$")
        }
    })
}

/// xorshift: the same queries at every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit).unwrap()).unwrap()
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

/// One criterion on a type: a value of its own data, changed a little.
fn criterion(dice: &mut Dice, name: &str, kind: &str, texts: &[String]) -> (String, String) {
    let mut value = dice.pick(texts).clone();
    let cut = |text: &str, length: usize| text.chars().take(length).collect::<String>();
    let modifier = match kind {
        "token" => {
            if dice.below(3) == 0 {
                value = value.rsplit('|').next().unwrap().to_owned();
            }
            if dice.below(4) == 0 {
                value = format!("{value},{}", dice.pick(texts));
            }
            *dice.pick(&["", "", ":not", ":text", ":missing"])
        }
        "string" => {
            value = cut(&value, 1 + dice.below(8));
            *dice.pick(&["", "", ":contains", ":exact", ":missing"])
        }
        "reference" => {
            if dice.below(3) == 0 {
                value = value.rsplit('/').next().unwrap().to_owned();
            }
            *dice.pick(&["", "", ":missing"])
        }
        "date" => {
            let length = *dice.pick(&[4, 7, 10, 20]);
            let prefix = dice.pick(&["", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"]);
            value = format!("{prefix}{}", cut(&value, length));
            ""
        }
        "quantity" | "number" => {
            let prefix = dice.pick(&["", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"]);
            value = format!("{prefix}{value}");
            ""
        }
        "composite" => {
            if let Some((first, last)) = value.rsplit_once('$')
                && last.starts_with(|c: char| c.is_ascii_digit())
            {
                value = format!("{first}${}{last}", dice.pick(&["", "gt", "le", "ne", "ap"]));
            }
            if dice.below(3) == 0 {
                value = format!("{value},{}", dice.pick(texts));
            }
            ""
        }
        "uri" => *dice.pick(&["", ":below", ":above"]),
        _ => "",
    };
    let value = match modifier {
        ":missing" => (*dice.pick(&["true", "false"])).to_owned(),
        _ => value,
    };
    (format!("{name}{modifier}"), value)
}

#[test]
fn random_queries_equal_brute_force() {
    let Some(bundles) = bundles() else {
        eprintln!("skipped: no Synthea records beside this repository");
        return;
    };
    let zone = zone("Africa/Dar_es_Salaam");
    let shelf = shelve(&bundles, &zone);
    let places: Vec<_> = shelf
        .texts
        .iter()
        .filter(|(_, texts)| !texts.is_empty())
        .collect();
    let mut dice = Dice(0x5eed_cafe_f00d_1234);
    let (mut asked, mut with_matches, mut proposed, mut composites) = (0, 0, 0, 0);
    while asked < 600 {
        let ((resource_type, _, _), _) = *dice.pick(&places);
        let of_type: Vec<_> = places
            .iter()
            .filter(|((t, ..), _)| t == resource_type)
            .collect();
        let pairs: Vec<(String, String)> = (0..=dice.below(3))
            .map(|_| {
                let composite = of_type
                    .iter()
                    .filter(|((.., kind), _)| *kind == "composite");
                let composite: Vec<_> = composite.collect();
                let ((_, name, kind), texts) = match composite.is_empty() || dice.below(2) > 0 {
                    true => *dice.pick(&of_type),
                    false => **dice.pick(&composite),
                };
                criterion(&mut dice, name, kind, texts)
            })
            .collect();
        let Ok(query) = Query::parse(resource_type, &pairs, Handling::Strict, &zone) else {
            continue;
        };
        let brute: BTreeSet<usize> = (0..)
            .zip(&shelf.all)
            .filter(|(_, v)| query.matches(v))
            .map(|(at, _)| at)
            .collect();
        let mut candidates: Option<BTreeSet<usize>> = None;
        for group in query.candidates().all_of {
            let union: BTreeSet<usize> = group
                .iter()
                .filter_map(|t| shelf.postings.get(t))
                .flatten()
                .copied()
                .collect();
            candidates = Some(
                candidates.map_or(union.clone(), |c| c.intersection(&union).copied().collect()),
            );
        }
        let candidates = candidates.unwrap();
        let found: BTreeSet<usize> = candidates
            .iter()
            .copied()
            .filter(|at| query.matches(&shelf.all[*at]))
            .collect();
        assert_eq!(found, brute, "{resource_type} {pairs:?}");
        asked += 1;
        with_matches += usize::from(!brute.is_empty());
        composites += usize::from(pairs.iter().any(|(_, value)| value.contains('$')));
        proposed += candidates.len();
    }
    eprintln!(
        "{asked} queries over {} resources: {with_matches} with matches, {proposed} proposed",
        shelf.all.len()
    );
    assert!(shelf.all.len() > 2_000 && with_matches > 200);
    assert!(composites > 30, "{composites} composites");
}
