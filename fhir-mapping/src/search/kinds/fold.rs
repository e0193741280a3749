//! Folding of text for string search: case, accents, punctuation and spacing do not matter
//! (R4 3.1.1.4.8).

use unicode_normalization::UnicodeNormalization;

/// The folded form. Two texts that a reader takes for the same name fold to the same.
pub(in crate::search) fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    if text.is_ascii() {
        text.chars().for_each(|c| push(c, &mut folded));
    } else {
        text.nfd()
            .filter(|c| !is_accent(*c))
            .for_each(|c| push(c, &mut folded));
    }
    if folded.ends_with(' ') {
        folded.pop();
    }
    folded
}

fn push(c: char, folded: &mut String) {
    match c {
        'a'..='z' | '0'..='9' => folded.push(c),
        'A'..='Z' => folded.push(c.to_ascii_lowercase()),
        c if c.is_whitespace() => {
            if !folded.is_empty() && !folded.ends_with(' ') {
                folded.push(' ');
            }
        }
        c if c.is_ascii() || is_punctuation(c) => {}
        'ß' | 'ẞ' => folded.push_str("ss"),
        'æ' | 'Æ' => folded.push_str("ae"),
        'œ' | 'Œ' => folded.push_str("oe"),
        'ø' | 'Ø' => folded.push('o'),
        'đ' | 'Đ' | 'ð' | 'Ð' => folded.push('d'),
        'ł' | 'Ł' => folded.push('l'),
        'ı' => folded.push('i'),
        c => folded.extend(c.to_lowercase()),
    }
}

/// Marks that readers leave out: Latin, Greek and Cyrillic accents, Hebrew points, Arabic vowel
/// signs. Vowel signs of other scripts are letters and stay.
fn is_accent(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36f}' | '\u{591}'..='\u{5c7}' | '\u{640}' | '\u{64b}'..='\u{65f}' | '\u{670}')
}

fn is_punctuation(c: char) -> bool {
    matches!(c, '\u{a1}'..='\u{bf}' | '\u{2010}'..='\u{205e}' | '\u{2b9}'..='\u{2ff}' | '\u{3001}'..='\u{3003}')
        && !c.is_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding() {
        for (text, expected) in [
            ("Abernathy", "abernathy"),
            ("  Van   der\tBerg ", "van der berg"),
            ("O'Brien", "obrien"),
            ("O\u{2019}Brien", "obrien"),
            ("Nguyễn", "nguyen"),
            ("Nguye\u{302}\u{303}n", "nguyen"),
            ("MÜLLER-Straße", "mullerstrasse"),
            ("Søren Ægir", "soren aegir"),
            ("Łukasz", "lukasz"),
            ("Ÿ", "y"),
            ("محمَّد", "محمد"),
            ("राम", "राम"),
            ("王小明", "王小明"),
            ("--", ""),
        ] {
            assert_eq!(fold(text), expected, "{text}");
        }
    }
}
