//! Which backups are kept: the newest of each of the last days, weeks and months. Packs that no kept
//! backup needs go too.

use super::checks;
use super::chunk::Sealer;
use super::manifest::{self, Listed, Manifest, PACKS};
use super::read::Opened;
use super::shelf::Shelf;
use crate::VaultError;
use std::collections::HashSet;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// How many days, weeks and months (of 30 days) keep their newest backup. The newest of all stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    pub daily: usize,
    pub weekly: usize,
    pub monthly: usize,
}

/// Takes away what need not be kept; answers how many backups and packs went.
pub fn prune(opened: &Opened<'_>, keep: Keep) -> Result<(usize, usize), VaultError> {
    let (shelf, sealer) = opened.parts();
    let all = manifest::listed(shelf)?;
    let kept = kept(&all, keep);
    let mut needed = HashSet::new();
    for one in all.iter().filter(|one| kept.contains(&one.name)) {
        needed.extend(packs_of(shelf, sealer, &one.name)?);
    }
    let gone: Vec<&Listed> = all.iter().filter(|one| !kept.contains(&one.name)).collect();
    for one in &gone {
        shelf.remove(&one.name)?;
    }
    let looked: HashSet<String> = kept.iter().map(|name| checks::called(name)).collect();
    for name in shelf.list(checks::CHECKS)? {
        if !looked.contains(&name) {
            shelf.remove(&name)?;
        }
    }
    let mut packs = 0;
    for name in shelf.list(PACKS)? {
        if !needed.contains(&name) {
            shelf.remove(&name)?;
            packs += 1;
        }
    }
    Ok((gone.len(), packs))
}

/// A kept backup that does not open stops pruning: its packs are not known.
fn packs_of(shelf: &dyn Shelf, sealer: &Sealer, name: &str) -> Result<Vec<String>, VaultError> {
    let manifest = Manifest::load(shelf, sealer, name)?;
    let packs = manifest.packs.iter();
    Ok(packs.map(|pack| format!("{PACKS}/{pack}")).collect())
}

fn kept(all: &[Listed], keep: Keep) -> HashSet<String> {
    let mut kept: HashSet<String> = all.last().map(|one| one.name.clone()).into_iter().collect();
    for (length, count) in [(1, keep.daily), (7, keep.weekly), (30, keep.monthly)] {
        let mut spans = HashSet::new();
        for one in all.iter().rev() {
            let span = one.time_ms.div_euclid(length * DAY_MS);
            if spans.len() < count && spans.insert(span) {
                kept.insert(one.name.clone());
            }
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_each_span_is_kept() {
        let at = |day: i64, hour: i64| Listed {
            name: format!("{day}.{hour}"),
            time_ms: (day * 24 + hour) * 3_600_000,
            seq: 0,
        };
        let all: Vec<Listed> = (0..60).flat_map(|day| [at(day, 2), at(day, 14)]).collect();
        let keep = |daily, weekly, monthly| {
            let keep = Keep {
                daily,
                weekly,
                monthly,
            };
            let mut names: Vec<String> = kept(&all, keep).into_iter().collect();
            names.sort();
            names
        };
        assert_eq!(keep(0, 0, 0), ["59.14"]);
        assert_eq!(keep(2, 0, 0), ["58.14", "59.14"]);
        assert_eq!(keep(1, 3, 0), ["48.14", "55.14", "59.14"]);
        assert_eq!(keep(1, 1, 2), ["29.14", "59.14"]);
        assert!(
            kept(
                &[],
                Keep {
                    daily: 1,
                    weekly: 1,
                    monthly: 1
                }
            )
            .is_empty()
        );
    }
}
