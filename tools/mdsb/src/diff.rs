// SPDX-License-Identifier: GPL-2.0

//! What two descriptions say differently, field by field.

use serde_json::{json, Value};
use std::collections::BTreeMap;

use crate::{cli::Form, text};

/// A field that differs; `None` where one side does not have it.
#[derive(Debug, PartialEq)]
pub struct Difference {
    pub field: String,
    pub a: Option<Value>,
    pub b: Option<Value>,
}

pub fn diff(a: &Value, b: &Value) -> Vec<Difference> {
    let (a, b) = (leaves(a), leaves(b));
    let mut fields: Vec<&String> = a.keys().chain(b.keys()).collect();
    fields.sort();
    fields.dedup();
    let different = fields
        .into_iter()
        .filter(|field| a.get(*field) != b.get(*field));
    let difference = |field: &String| Difference {
        field: field.clone(),
        a: a.get(field).cloned(),
        b: b.get(field).cloned(),
    };
    different.map(difference).collect()
}

pub fn report(differences: &[Difference], form: Form) -> String {
    match form {
        Form::Json => {
            let list = differences
                .iter()
                .map(|d| json!({"field": d.field, "a": d.a, "b": d.b}));
            text::json(&Value::Array(list.collect()))
        }
        Form::Text => {
            let width = differences.iter().map(|d| d.field.len()).max().unwrap_or(0);
            let line = |d: &Difference| {
                format!(
                    "{:width$}  {}  |  {}\n",
                    d.field,
                    side(d.a.as_ref()),
                    side(d.b.as_ref())
                )
            };
            differences.iter().map(line).collect()
        }
    }
}

fn side(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text::printable(text),
        Some(other) => other.to_string(),
    }
}

/// Every scalar by its path. Where a member is found does not count; what it says does.
fn leaves(tree: &Value) -> BTreeMap<String, Value> {
    let mut leaves = BTreeMap::new();
    collect(tree, String::new(), &mut leaves);
    leaves.remove("device.path");
    leaves
}

fn collect(tree: &Value, path: String, leaves: &mut BTreeMap<String, Value>) {
    let below = |name: &str| match path.as_str() {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    };
    match tree {
        Value::Object(map) => {
            for (name, value) in map {
                collect(value, below(name), leaves);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                collect(value, below(&index.to_string()), leaves);
            }
        }
        // What is not there and what is not said are the same.
        Value::Null => {}
        leaf => {
            leaves.insert(path, leaf.clone());
        }
    }
}
