// SPDX-License-Identifier: GPL-2.0

//! A description as text. The units are the ends of the names: `size_sectors` becomes `size  2048 sectors (1.0 MiB)`.

use serde_json::{Map, Value};

pub fn json(tree: &Value) -> String {
    // A tree of maps with text keys always prints.
    format!("{tree:#}\n")
}

/// `text` with its control characters, which a name on disk may have, written out: a terminal would obey them.
pub fn printable(text: &str) -> String {
    let shown = |letter: char| {
        let escaped = letter.is_control().then(|| letter.escape_default());
        let plain = escaped.is_none().then_some(letter);
        escaped.into_iter().flatten().chain(plain)
    };
    text.chars().flat_map(shown).collect()
}

pub fn render(tree: &Value) -> String {
    let mut out = String::new();
    if let Value::Object(map) = tree {
        fields(&mut out, map, 0);
    }
    out
}

fn fields(out: &mut String, map: &Map<String, Value>, depth: usize) {
    let width = map.keys().map(|key| label(key).0.len()).max().unwrap_or(0);
    for (key, value) in map {
        field(out, key, value, depth, width);
    }
}

fn field(out: &mut String, key: &str, value: &Value, depth: usize, width: usize) {
    let (label, unit) = label(key);
    let indent = "  ".repeat(depth);
    match value {
        Value::Null => {}
        Value::Object(map) if map.is_empty() => {}
        Value::Object(map) => {
            out.push_str(&format!("{indent}{label}\n"));
            fields(out, map, depth + 1);
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            out.push_str(&format!("{indent}{label}\n"));
            for item in items {
                out.push_str(&format!("{indent}  {}\n", one_line(item)));
            }
        }
        Value::Array(items) if items.is_empty() => {}
        value => {
            let value = scalar(value, unit);
            out.push_str(&format!("{indent}{label:width$}  {value}\n"));
        }
    }
}

/// What ends a name to say its unit.
const UNITS: [(&str, &str); 3] = [("_sectors", "sectors"), ("_bytes", "bytes"), ("_s", "s")];

/// A name in words, and its unit.
fn label(key: &str) -> (String, &'static str) {
    let unit = UNITS
        .iter()
        .find_map(|(end, unit)| Some((key.strip_suffix(end)?, *unit)));
    let (name, unit) = unit.unwrap_or((key, ""));
    (name.replace('_', " "), unit)
}

fn scalar(value: &Value, unit: &str) -> String {
    match value {
        Value::String(text) => printable(text),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| scalar(item, unit)).collect();
            items.join(", ")
        }
        Value::Number(number) if unit == "sectors" => match number.as_u64() {
            Some(sectors) => format!("{sectors} sectors{}", human(sectors)),
            None => format!("{number} sectors"),
        },
        other if unit.is_empty() => other.to_string(),
        other => format!("{other} {unit}"),
    }
}

/// A record of a list.
fn one_line(value: &Value) -> String {
    let Value::Object(map) = value else {
        return scalar(value, "");
    };
    let shown = map.iter().filter(|(_, value)| !value.is_null());
    let parts: Vec<String> = shown
        .map(|(key, value)| {
            let (label, unit) = label(key);
            format!("{label} {}", scalar(value, unit))
        })
        .collect();
    parts.join(", ")
}

/// A length from 1 KiB up in a larger unit.
fn human(sectors: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB"];
    let (mut tenths, mut index) = (u128::from(sectors) * 5, 0);
    while tenths >= 10_240 && index + 1 < units.len() {
        tenths /= 1024;
        index += 1;
    }
    match units.get(index) {
        Some(unit) if sectors >= 2 => format!(" ({}.{} {unit})", tenths / 10, tenths % 10),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn units_leave_the_name() {
        let tree = json!({"size_sectors": 2048, "name": "x", "none": null, "block_bytes": 512, "list": ["a", "b"]});
        let wanted = "size   2048 sectors (1.0 MiB)\nname   x\nblock  512 bytes\nlist   a, b\n";
        assert_eq!(render(&tree), wanted);
    }

    #[test]
    fn a_terminal_is_not_commanded() {
        let tree = json!({"name": "a\u{1b}[2J\nb\u{9b}ü"});
        assert_eq!(render(&tree), "name  a\\u{1b}[2J\\nb\\u{9b}ü\n");
    }

    #[test]
    fn lengths_for_people() {
        assert_eq!(human(1), "");
        assert_eq!(human(3), " (1.5 KiB)");
        assert_eq!(human(38_912), " (19.0 MiB)");
        assert_eq!(human(u64::MAX), " (7.9 ZiB)");
    }
}
