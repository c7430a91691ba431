// SPDX-License-Identifier: GPL-2.0

//! Every inconsistency of a member's metadata, each with a name.

mod areas;
mod array;
mod bitmap;
mod features;

use std::fmt::Display;

use serde_json::json;

use crate::{
    cli::Form,
    failure::Failure,
    found::{Member, Superblock},
    source::Source,
    text,
};

/// Something that is wrong.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its name, for programs.
    pub name: &'static str,
    /// What it is, for people.
    pub what: String,
}

/// What was found so far.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, name: &'static str, what: impl Display) {
        self.0.push(Finding {
            name,
            what: what.to_string(),
        });
    }

    fn add_if(&mut self, wrong: bool, name: &'static str, what: impl Display) {
        if wrong {
            self.add(name, what);
        }
    }
}

/// Everything that is wrong on `source`.
///
/// # Errors
///
/// When it is no md member at all, or cannot be read.
pub fn check(source: &Source) -> Result<Vec<Finding>, Failure> {
    let mut findings = Findings::default();
    let best = Member::best(source)?;
    for other in Member::all(source)? {
        findings.add_if(
            other.version != best.version,
            "second-superblock",
            format_args!(
                "a superblock {} lies beside that of {}",
                other.version, best.version
            ),
        );
    }
    match best.superblock() {
        Ok(sb) => superblock(source, &sb, &mut findings)?,
        Err(Failure::Refused { version, reason }) => {
            findings.add(
                "superblock-refused",
                format_args!("superblock {version}: {reason}"),
            );
        }
        Err(other) => return Err(other),
    }
    Ok(findings.0)
}

fn superblock(
    source: &Source,
    sb: &Superblock<'_>,
    findings: &mut Findings,
) -> Result<(), Failure> {
    array::check(sb, findings);
    features::check(sb, findings);
    positions(sb, findings);
    let bitmap = bitmap::check(source, sb, findings)?;
    areas::check(source, sb, bitmap.as_ref(), findings)
}

/// Positions that no driver takes as they are.
fn positions(sb: &Superblock<'_>, findings: &mut Findings) {
    let strays = sb.strays();
    if let Some(at) = strays.resync {
        findings.add(
            "resync-beyond-members",
            format_args!(
                "the resync goes on at sector {at}, behind the end; nothing is left of it"
            ),
        );
    }
    if let Some(upto) = strays.recovered {
        findings.add(
            "recovery-beyond-member",
            format_args!("the member is rebuilt up to sector {upto}, more than it holds"),
        );
    }
    if let Some(tail) = strays.tail {
        findings.add(
            "journal-tail",
            format_args!("no block of the journal begins at sector {tail}; drivers take its start"),
        );
    }
}

pub fn report(path: &str, findings: &[Finding], form: Form) -> String {
    match form {
        Form::Json => {
            let list = findings
                .iter()
                .map(|f| json!({"name": f.name, "what": f.what}));
            text::json(&serde_json::Value::Array(list.collect()))
        }
        Form::Text if findings.is_empty() => format!("{path}: clean\n"),
        Form::Text => findings
            .iter()
            .map(|f| format!("{path}: {}: {}\n", f.name, text::printable(&f.what)))
            .collect(),
    }
}
