//! Searching against brute force: random queries over Synthea patients, every page followed; each
//! answer must be what a walk over all resources finds.

use super::*;
use fhir_mapping::search::{Asking, Condition, Handling, Query, SearchValues, Zone, extract};
use gateway_repository::SearchRequest;
use std::collections::{BTreeSet, HashMap};

const QUERIES: usize = 420;
/// Bundles with few resources, beside hospitals and practitioners.
const BUNDLE_BYTES_MAX: u64 = 18_500;
const BUNDLES_MAX: usize = 4;

/// All resources, in the store's order.
struct All {
    values: Vec<SearchValues>,
    keys: HashMap<(String, String), usize>,
    trees: Vec<Json>,
}

type Found = BTreeSet<usize>;

impl All {
    fn of_type(&self, name: &str) -> Found {
        let of_type = |(_, values): &(usize, &SearchValues)| values.key().0 == name;
        let found = self.values.iter().enumerate().filter(of_type);
        found.map(|(index, _)| index).collect()
    }

    /// Those of a type that meet a condition, found by looking at every one.
    fn holders(&self, condition: &Condition, name: &str) -> Found {
        let all = self.of_type(name);
        match condition {
            Condition::Own(_) => {
                let holds = |index: &usize| condition.known(&self.values[*index]) == Some(true);
                all.into_iter().filter(holds).collect()
            }
            Condition::All(parts) => parts
                .iter()
                .fold(all, |all, part| &all & &self.holders(part, name)),
            Condition::Any(parts) => {
                let found = parts.iter().map(|part| self.holders(part, name));
                found.fold(Found::new(), |a, b| &a | &b)
            }
            Condition::Not(part) => &all - &self.holders(part, name),
            Condition::Chain(chain) => {
                let branches = chain.branches.iter();
                let targets = branches.map(|b| self.holders(&b.condition, &b.resource_type));
                let targets = targets.fold(Found::new(), |a, b| &a | &b);
                all.into_iter()
                    .filter(|index| !self.targets(*index, chain.parameter).is_disjoint(&targets))
                    .collect()
            }
            Condition::Has(has) => {
                let sources = self.holders(&has.condition, &has.source_type).into_iter();
                let targets = sources.flat_map(|index| self.targets(index, has.parameter));
                &all & &targets.collect()
            }
            Condition::Words(words) => {
                let holds = |index: &usize| words.matches(&self.trees[*index]);
                all.into_iter().filter(holds).collect()
            }
            Condition::Hierarchy(_) => panic!("no query here asks for one"),
        }
    }

    fn targets(&self, index: usize, parameter: &str) -> Found {
        let targets = self.values[index].references(parameter).into_iter();
        targets
            .filter_map(|key| self.keys.get(&key).copied())
            .collect()
    }

    /// The answer in its order.
    fn answer(&self, query: &Query) -> Vec<usize> {
        let name = query.resource_type();
        let conditions = query.conditions().iter();
        let found = conditions.fold(self.of_type(name), |found, condition| {
            &found & &self.holders(condition, name)
        });
        let mut found: Vec<usize> = found.into_iter().collect();
        found.sort_by_key(|index| (query.sort_key(&self.values[*index]), *index));
        found
    }

    /// What a page of matches includes.
    fn included(&self, query: &Query, matches: &[usize]) -> Found {
        let mut all: Found = matches.iter().copied().collect();
        let mut open = all.clone();
        let mut is_first = true;
        while !open.is_empty() {
            let mut found = Found::new();
            for include in query.includes().iter().filter(|i| is_first || i.iterate) {
                let of = |index: &&usize| {
                    ["*", self.values[**index].key().0].contains(&include.source_type.as_str())
                };
                found.extend(open.iter().filter(of).flat_map(|index| {
                    let mut targets = self.targets(*index, &include.parameter);
                    targets.retain(|target| {
                        let wanted = include.target_type.as_deref();
                        wanted.is_none_or(|wanted| self.values[*target].key().0 == wanted)
                    });
                    targets
                }));
            }
            for include in query
                .rev_includes()
                .iter()
                .filter(|i| is_first || i.iterate)
            {
                let sources = self.of_type(&include.source_type).into_iter();
                found.extend(
                    sources.filter(|index| {
                        !self.targets(*index, &include.parameter).is_disjoint(&open)
                    }),
                );
            }
            open = &found - &all;
            all.extend(&open);
            is_first = false;
        }
        all.retain(|index| !matches.contains(index));
        all
    }
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % end
    }
}

/// What may be asked of each type. `{Type.path}` stands for a value that some resource has there.
const ASKED: [(&str, &[&str]); 5] = [
    (
        "Observation",
        &[
            "patient={Patient.id}",
            "subject:Patient.family={Patient.name.family}",
            "patient.gender=female",
            "patient.birthdate=lt1990",
            "code={Observation.code.coding.code}",
            "encounter.class=AMB",
            "encounter:Encounter.service-provider.name={Organization.name}",
            "encounter.participant:Practitioner.family={Practitioner.name.family}",
            "date=ge{Observation.effectiveDateTime}",
            "date=lt2015",
            "category=vital-signs",
            "status:not=final",
            "value-quantity=gt50",
            "encounter:missing=true",
            "_filter=code eq {Observation.code.coding.code} or date gt 2018",
            "_content={Patient.name.family}",
            "component-code:missing=false",
            "patient.address-city={Patient.address.city}",
            "performer.name=hospital",
            "code-value-quantity={Observation.code.coding.code}$gt50",
            "code-value-quantity={Observation.code.coding.code}$lt90|http://unitsofmeasure.org|kg",
            "component-code-value-quantity={Observation.component.code.coding.code}$ge80",
            "combo-code-value-quantity={Observation.component.code.coding.code}$le120,{Observation.code.coding.code}$gt20",
            "_has:DiagnosticReport:result:status=final",
        ],
    ),
    (
        "Patient",
        &[
            "gender=male",
            "family={Patient.name.family}",
            "birthdate=gt1970",
            "name:contains=a",
            "_has:Observation:patient:code={Observation.code.coding.code}",
            "_has:Encounter:patient:_has:Observation:encounter:code={Observation.code.coding.code}",
            "_has:Condition:patient:encounter.class=AMB",
            "_id={Patient.id}",
            "_has:Observation:patient:code-value-quantity={Observation.code.coding.code}$gt40",
            "_has:Encounter:patient:service-provider.name={Organization.name}",
            "identifier:missing=false",
            "general-practitioner.name=x",
        ],
    ),
    (
        "Encounter",
        &[
            "patient.gender=male",
            "class=AMB,WELLNESS",
            "service-provider.name={Organization.name}",
            "_has:Observation:encounter:code={Observation.code.coding.code}",
            "_has:Observation:encounter:value-quantity=lt20",
            "patient={Patient.id}",
            "_has:Condition:encounter:code={Condition.code.coding.code}",
            "date=2015,2018",
            "participant:Practitioner.family={Practitioner.name.family}",
            "status=finished",
            "date=ge{Encounter.period.start}",
            "type={Encounter.type.coding.code}",
            "_filter=status eq finished and not (class eq AMB)",
        ],
    ),
    (
        "Condition",
        &[
            "patient.family={Patient.name.family}",
            "encounter.date=ge2010",
            "clinical-status=active",
            "code={Condition.code.coding.code}",
            "onset-date=lt{Condition.onsetDateTime}",
            "encounter.service-provider.address-city={Organization.address.city}",
            "subject:Patient._has:Observation:patient:code={Observation.code.coding.code}",
            "code:text=disorder",
            "_content=disorder",
        ],
    ),
    (
        "Organization",
        &[
            "name={Organization.name}",
            "address-city={Organization.address.city}",
            "_has:Encounter:service-provider:patient.gender=male",
            "name:contains=center",
            "_has:Encounter:service-provider:class=EMER",
            "active=true",
        ],
    ),
];

const SORTS: [&str; 12] = [
    "",
    "",
    "date",
    "-date",
    "_id",
    "-_id",
    "-_lastUpdated",
    "code,-date",
    "status,_id",
    "family",
    "-name",
    "patient,-date",
];

const INCLUDES: [&str; 10] = [
    "",
    "",
    "_include=Observation:encounter",
    "_include=Observation:*",
    "_include=Observation:encounter&_include:iterate=Encounter:service-provider",
    "_revinclude=Observation:encounter",
    "_revinclude=Encounter:service-provider",
    "_revinclude=Condition:patient&_include:iterate=Condition:encounter",
    "_include=*",
    "_include=Encounter:patient:Patient&_revinclude:iterate=Observation:patient",
];

fn request(dice: &mut Dice, all: &All) -> (&'static str, Vec<(String, String)>) {
    let (name, asked) = ASKED[dice.below(ASKED.len())];
    let criteria =
        (0..dice.below(3) + usize::from(dice.below(8) > 0)).map(|_| dice.pick(asked).to_owned());
    let mut parts: Vec<String> = criteria.collect();
    let sort = dice.pick(&SORTS);
    if !sort.is_empty() {
        parts.push(format!("_sort={sort}"));
    }
    parts.extend(
        dice.pick(&INCLUDES)
            .split_terminator('&')
            .map(str::to_owned),
    );
    parts.push(format!("_count={}", [1, 3, 10, 40][dice.below(4)]));
    let pairs = parts.iter().map(|part| {
        let (name, value) = part.split_once('=').unwrap();
        (name.to_owned(), filled(value, dice, all))
    });
    (name, pairs.collect())
}

fn filled(value: &str, dice: &mut Dice, all: &All) -> String {
    let Some((before, rest)) = value.split_once('{') else {
        return value.to_owned();
    };
    let (path, after) = rest.split_once('}').unwrap();
    let (name, path) = path.split_once('.').unwrap();
    let path: Vec<&str> = path.split('.').collect();
    let of_type: Vec<usize> = all.of_type(name).into_iter().collect();
    let found = (0..20).find_map(|_| {
        let tree = &all.trees[of_type[dice.below(of_type.len())]];
        Some(tree.str_at(&path)?.replace(',', "\\,"))
    });
    let found = found.unwrap_or_else(|| "none".to_owned());
    format!("{before}{found}{}", filled(after, dice, all))
}

async fn loaded(site: &Site) -> Option<All> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/synthea");
    let Ok(files) = std::fs::read_dir(folder) else {
        eprintln!("skipped: no {folder}");
        return None;
    };
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths.retain(|path| {
        let is_shared = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"0-"));
        is_shared || std::fs::metadata(path).unwrap().len() < BUNDLE_BYTES_MAX
    });
    for path in paths.iter().take(BUNDLES_MAX) {
        let mut text = String::new();
        let mut file = bzip2::read::MultiBzDecoder::new(std::fs::File::open(path).unwrap());
        std::io::Read::read_to_string(&mut file, &mut text).unwrap();
        site.ask("POST ", &[], &text).await.ok(200);
        site.clock.advance(Duration::from_secs(1));
    }
    let mut all = All {
        values: Vec::new(),
        keys: HashMap::new(),
        trees: Vec::new(),
    };
    let zone = Zone::of(jiff::tz::TimeZone::UTC);
    let mut show = |stored: store::StoredVersion| {
        let tree = parse(&stored.body, Limits::default()).unwrap();
        let values = extract(&tree, &zone);
        let key = (stored.key.resource_type, stored.key.id);
        all.keys.insert(key, all.values.len());
        all.values.push(values);
        all.trees.push(tree);
        Ok(())
    };
    assert!(
        site.surface
            .repository
            .visit(None, 100_000, &mut show)
            .unwrap()
    );
    Some(all)
}

#[tokio::test]
async fn random_searches_find_what_a_walk_over_everything_finds() {
    let site = Site::new();
    let Some(all) = loaded(&site).await else {
        return;
    };
    let (mut dice, mut found, mut included) = (Dice(7), 0, 0);
    for number in 0..QUERIES {
        let (name, pairs) = request(&mut dice, &all);
        let repository = &site.surface.repository;
        let asking = Asking::new(Handling::Lenient, repository.zone()).whole();
        let query = Query::parse_with(name, &pairs, &asking);
        let query = query.unwrap_or_else(|issues| panic!("{name} {pairs:?}: {issues:?}"));
        let expected = all.answer(&query);
        let mut request = SearchRequest::of(query.clone(), query.count().unwrap());
        let mut answered = Vec::new();
        loop {
            let page = repository.search(&request).unwrap();
            let index = |stored: &store::StoredVersion| {
                let key = &stored.key;
                all.keys[&(key.resource_type.clone(), key.id.clone())]
            };
            let matches: Vec<usize> = page.matches.iter().map(index).collect();
            let with: Found = page.included.iter().map(index).collect();
            assert_eq!(page.included.len(), with.len(), "{number} {name} {pairs:?}");
            assert_eq!(
                with,
                all.included(&query, &matches),
                "{number} {name} {pairs:?}"
            );
            included += with.len();
            assert!(
                !matches.is_empty() || page.next.is_none(),
                "{name} {pairs:?}"
            );
            if let Some(total) = page.total {
                let expected = u64::try_from(expected.len()).unwrap();
                assert_eq!(total, expected, "{number} {name} {pairs:?}");
            }
            answered.extend(matches);
            request.after = page.next;
            // All pages of a long answer take long: the first of them show the order.
            if request.after.is_none() || answered.len() > 60 {
                break;
            }
        }
        let is_whole = request.after.is_none();
        assert!(expected.starts_with(&answered), "{number} {name} {pairs:?}");
        assert_eq!(
            is_whole,
            expected.len() == answered.len(),
            "{number} {name} {pairs:?}"
        );
        found += usize::from(!expected.is_empty());
    }
    assert!(found > QUERIES / 3, "only {found} queries found anything");
    assert!(
        included > QUERIES,
        "only {included} resources were included"
    );
}
