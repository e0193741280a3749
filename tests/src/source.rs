//! The workspace's own sources, read as text: comments and literals blanked, tests cut off.

use std::path::{Path, PathBuf};

/// One Rust file of the workspace.
pub struct Source {
    /// Path from the workspace root, with `/`.
    pub path: String,
    /// The text as it stands.
    pub text: String,
    /// The text without its `#[cfg(test)]` tail.
    pub shipped: String,
    /// `shipped` with comments and literals blanked; same lines, same columns.
    pub code: String,
}

/// The workspace root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// Every Rust file below these folders of the root, sorted by path.
pub fn sources(folders: &[&str]) -> Vec<Source> {
    let mut paths = Vec::new();
    for folder in folders {
        collect(&root().join(folder), &mut paths);
    }
    paths.retain(|p| p.extension().is_some_and(|e| e == "rs"));
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

/// Every file below a folder of the root, sorted.
pub fn files(folder: &str) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    collect(&root().join(folder), &mut paths);
    paths.sort();
    paths
}

/// Blanks comments, strings and character literals, keeping every newline in its place.
pub fn blank_literals(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(bytes, at);
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end.max(at + 1);
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn read(path: &Path) -> Source {
    let text = std::fs::read_to_string(path).unwrap();
    let shipped = match text.find("\n#[cfg(test)]\nmod tests {") {
        _ if is_test_module(path) => String::new(),
        Some(at) => text[..at].to_owned(),
        None => text.clone(),
    };
    let relative = path
        .strip_prefix(root())
        .unwrap()
        .to_string_lossy()
        .replace('\\', "/");
    let code = blank_literals(&shipped);
    Source {
        path: relative,
        text,
        shipped,
        code,
    }
}

/// Is the file called `tests`, in a module of that name, or declared as `#[cfg(test)] mod name;` by the file above it?
fn is_test_module(path: &Path) -> bool {
    let name = path.file_stem().unwrap().to_string_lossy();
    let folder = path.parent().unwrap();
    let mut below_src = folder.iter().skip_while(|part| *part != "src");
    let in_tests = below_src.any(|part| part == "tests");
    if name == "tests" || in_tests {
        return true;
    }
    let parents = [
        folder.join("mod.rs"),
        folder.join("lib.rs"),
        folder.with_extension("rs"),
    ];
    let declaration = format!("#[cfg(test)]\nmod {name};");
    parents
        .iter()
        .filter_map(|p| std::fs::read_to_string(p).ok())
        .any(|t| t.contains(&declaration))
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && name != "node_modules" && !name.starts_with('.') {
                collect(&path, into);
            }
        } else {
            into.push(path);
        }
    }
}

/// End of the comment or literal that starts at `at`; `at` itself when none does.
fn literal_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    if rest.starts_with(b"//") {
        return at + rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
    }
    if rest.starts_with(b"/*") {
        return block_comment_end(bytes, at);
    }
    let in_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    if !in_word && let Some(end) = raw_string_end(bytes, at) {
        return end;
    }
    match rest[0] {
        b'"' => string_end(bytes, at + 1, b'"'),
        b'\'' if is_character(rest) => string_end(bytes, at + 1, b'\''),
        _ => at,
    }
}

fn block_comment_end(bytes: &[u8], at: usize) -> usize {
    let tail = bytes[at..].windows(2).position(|w| w == b"*/");
    tail.map_or(bytes.len(), |t| at + t + 2)
}

fn raw_string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut cursor = at + usize::from(bytes[at] == b'b');
    if bytes.get(cursor) != Some(&b'r') {
        return None;
    }
    cursor += 1;
    let hashes = bytes[cursor..].iter().take_while(|b| **b == b'#').count();
    cursor += hashes;
    if bytes.get(cursor) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'"'];
    close.extend(std::iter::repeat_n(b'#', hashes));
    let tail = bytes[cursor + 1..]
        .windows(close.len())
        .position(|w| w == close);
    Some(tail.map_or(bytes.len(), |t| cursor + 1 + t + close.len()))
}

fn string_end(bytes: &[u8], mut at: usize, quote: u8) -> usize {
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// A quote starts a character and not a lifetime when it closes soon.
fn is_character(rest: &[u8]) -> bool {
    rest.get(1) == Some(&b'\\')
        || rest
            .iter()
            .skip(2)
            .take(4)
            .position(|b| *b == b'\'')
            .is_some_and(|at| at == 0 || rest.get(1).is_some_and(|first| !first.is_ascii()))
}

#[cfg(test)]
mod tests {
    use super::blank_literals;

    #[test]
    fn literals_and_comments_are_blanked_in_place() {
        let cases = [
            ("a \"b{\" c", "a      c"),
            ("x '{' y", "x     y"),
            ("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)"),
            ("r#\"}\"# z", "       z"),
            ("a // {\nb", "a     \nb"),
            ("'\\'' q", "     q"),
        ];
        for (text, expected) in cases {
            assert_eq!(blank_literals(text), expected, "{text}");
        }
    }
}
