//! Tree to text. Compact for storage and the wire, indented for people.

use super::{Json, Object};

/// Compact JSON text; numbers come out as they came in.
pub fn format(value: &Json) -> String {
    let mut out = String::with_capacity(1024);
    write(value, &mut out);
    out
}

/// The same, two spaces a level.
pub fn format_pretty(value: &Json) -> String {
    let mut out = String::with_capacity(2048);
    write_pretty(value, 0, &mut out);
    out
}

fn write(value: &Json, out: &mut String) {
    match value {
        Json::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Json::Object(object) => {
            out.push('{');
            for (i, (key, item)) in object.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_string(key, out);
                out.push(':');
                write(item, out);
            }
            out.push('}');
        }
        scalar => write_scalar(scalar, out),
    }
}

fn write_pretty(value: &Json, level: usize, out: &mut String) {
    match value {
        Json::Array(items) if !items.is_empty() => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                new_line(i, level, out);
                write_pretty(item, level + 1, out);
            }
            close_line(level, ']', out);
        }
        Json::Object(object) if !object.is_empty() => {
            write_pretty_object(object, level, out);
        }
        Json::Array(_) => out.push_str("[]"),
        Json::Object(_) => out.push_str("{}"),
        scalar => write_scalar(scalar, out),
    }
}

fn write_pretty_object(object: &Object, level: usize, out: &mut String) {
    out.push('{');
    for (i, (key, item)) in object.iter().enumerate() {
        new_line(i, level, out);
        write_string(key, out);
        out.push_str(": ");
        write_pretty(item, level + 1, out);
    }
    close_line(level, '}', out);
}

fn new_line(index: usize, level: usize, out: &mut String) {
    out.push_str(if index > 0 { ",\n" } else { "\n" });
    out.extend(std::iter::repeat_n("  ", level + 1));
}

fn close_line(level: usize, bracket: char, out: &mut String) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", level));
    out.push(bracket);
}

fn write_scalar(value: &Json, out: &mut String) {
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(true) => out.push_str("true"),
        Json::Bool(false) => out.push_str("false"),
        Json::Number(text) => out.push_str(text),
        Json::String(text) => write_string(text, out),
        Json::Array(_) | Json::Object(_) => write(value, out),
    }
}

fn write_string(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c == '"' || c == '\\' || c < ' ') {
        let (plain, tail) = rest.split_at(at);
        out.push_str(plain);
        let mut chars = tail.chars();
        if let Some(special) = chars.next() {
            write_escape(special, out);
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

fn write_escape(special: char, out: &mut String) {
    match special {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        other => out.push_str(&std::format!("\\u{:04x}", u32::from(other))),
    }
}
