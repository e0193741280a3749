//! `phonetic`: names that sound alike. A key of consonant classes, as Soundex makes, but for names of
//! any length, with the first letter classed too, so that Catherine is Katherine.

use super::escape::unescape;
use super::fold::fold;

/// The keys of the asked words: a name must have all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::search) struct SoundTest(Vec<String>);

impl SoundTest {
    /// `None` when nothing is left to compare.
    pub(in crate::search) fn parse(text: &str) -> Option<SoundTest> {
        let keys: Vec<String> = keys(&unescape(text)).collect();
        (!keys.is_empty()).then_some(SoundTest(keys))
    }

    pub(in crate::search) fn matches(&self, name: &str) -> bool {
        let found: Vec<String> = keys(name).collect();
        self.0.iter().all(|key| found.contains(key))
    }
}

fn keys(text: &str) -> impl Iterator<Item = String> {
    let words: Vec<String> = text
        .split(|c: char| c.is_whitespace() || c == '-')
        .map(fold)
        .collect();
    words
        .into_iter()
        .map(|word| key(&word))
        .filter(|key| !key.is_empty())
}

/// Letter groups that sound as another letter.
const GROUPS: [(&str, &str); 12] = [
    ("sch", "s"),
    ("tch", "s"),
    ("ph", "f"),
    ("gh", "g"),
    ("kn", "n"),
    ("wr", "r"),
    ("ck", "k"),
    ("dg", "j"),
    ("qu", "k"),
    ("ch", "k"),
    ("sh", "s"),
    ("th", "t"),
];

fn key(word: &str) -> String {
    let mut plain = word.to_owned();
    for (group, letter) in GROUPS {
        plain = plain.replace(group, letter);
    }
    let mut key = String::new();
    let mut last = None;
    for (place, letter) in plain.chars().enumerate() {
        let class = class(letter);
        let is_first_vowel = place == 0 && class == Some('a');
        let kept = class.filter(|c| *c != 'a' || is_first_vowel);
        if kept.is_some() && class != last {
            key.extend(kept);
        }
        // `h` and `w` do not part two letters of one class; a vowel does.
        if class.is_some() {
            last = class;
        }
    }
    key
}

/// The class of a letter, vowels as `a`; none for what is not heard. Letters of other scripts stand
/// for themselves.
fn class(letter: char) -> Option<char> {
    Some(match letter {
        'a' | 'e' | 'i' | 'o' | 'u' | 'y' => 'a',
        'b' | 'f' | 'p' | 'v' => '1',
        'c' | 'g' | 'j' | 'k' | 'q' | 's' | 'x' | 'z' => '2',
        'd' | 't' => '3',
        'l' => '4',
        'm' | 'n' => '5',
        'r' => '6',
        'h' | 'w' => return None,
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_sound_alike() {
        for (asked, name, expected) in [
            ("Catherine", "Katharine", true),
            ("Smith", "Smyth", true),
            ("Smith", "Schmidt", true),
            ("Philip", "Filipp", true),
            ("Mohammed", "Muhamad", true),
            ("Nguyen", "Nguyễn", true),
            ("Mwangi", "Mwengi", true),
            ("Juma", "Jumaa", true),
            ("Robert", "Rupert", true),
            ("Robert", "Richard", false),
            ("Smith", "Jones", false),
            ("Anna", "Hannah", false),
            ("jon smyth", "John Smith", true),
            ("王", "王", true),
            ("王", "李", false),
        ] {
            let test = SoundTest::parse(asked).unwrap();
            assert_eq!(
                test.matches(name),
                expected,
                "{asked} {name} {} {}",
                key(&fold(asked)),
                key(&fold(name))
            );
        }
        assert_eq!(SoundTest::parse("--"), None);
    }
}
