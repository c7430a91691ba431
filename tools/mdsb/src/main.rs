// SPDX-License-Identifier: GPL-2.0

//! `mdsb`: shows, checks, compares and makes the metadata of md members, with the parsers of the driver itself.
//!
//! It opens devices read-only; only `craft` and `bitmap --svg` write, and only a file that they make. Exit status: 0
//! fine, 1 findings or differences, 2 an error.

#![forbid(unsafe_code)]

mod cells;
mod check;
mod cli;
mod craft;
mod describe;
mod diff;
mod failure;
mod found;
mod heat;
mod names;
mod paint;
mod ppl;
mod source;
mod svg;
mod text;

use clap::Parser as _;
use std::process::ExitCode;

use cli::{Cli, Command, Form};
use failure::Failure;
use found::Member;
use source::Source;

/// What a command that ran has to say by its exit status.
enum Outcome {
    /// Nothing is wrong, nothing differs.
    Fine,
    /// Something is, something does.
    Findings,
}

fn main() -> ExitCode {
    match run(&Cli::parse().command) {
        Ok(Outcome::Fine) => ExitCode::SUCCESS,
        Ok(Outcome::Findings) => ExitCode::from(1),
        Err(failure) => {
            eprintln!("mdsb: {}", text::printable(&failure.to_string()));
            ExitCode::from(2)
        }
    }
}

fn run(command: &Command) -> Result<Outcome, Failure> {
    match command {
        Command::Show { member, form } => {
            let source = Source::open(member)?;
            let member = Member::best(&source)?;
            let tree = describe::member(&source, &member)?;
            print(&match form.form() {
                Form::Text => text::render(&tree),
                Form::Json => text::json(&tree),
            })
        }
        Command::Bitmap {
            member,
            svg,
            force,
            form,
        } => {
            let file = svg.as_deref().map(|path| svg::File {
                path,
                existing: if *force {
                    svg::Existing::Replace
                } else {
                    svg::Existing::Keep
                },
            });
            bitmap(member, file, form.form())
        }
        Command::Check { member, form } => {
            let findings = check::check(&Source::open(member)?)?;
            print(&check::report(member, &findings, form.form()))?;
            Ok(outcome(findings.is_empty()))
        }
        Command::Diff { a, b, form } => {
            let differences = diff::diff(&tree(a)?, &tree(b)?);
            print(&diff::report(&differences, form.form()))?;
            Ok(outcome(differences.is_empty()))
        }
        Command::Craft { spec, out } => craft::craft(spec, out).map(|()| Outcome::Fine),
    }
}

fn outcome(fine: bool) -> Outcome {
    if fine {
        Outcome::Fine
    } else {
        Outcome::Findings
    }
}

fn tree(path: &str) -> Result<serde_json::Value, Failure> {
    let source = Source::open(path)?;
    describe::member(&source, &Member::best(&source)?)
}

fn bitmap(path: &str, svg: Option<svg::File<'_>>, form: Form) -> Result<Outcome, Failure> {
    let source = Source::open(path)?;
    let bitmap = cells::Bitmap::read(&source, &Member::best(&source)?.superblock()?)?;
    if let Some(file) = svg {
        file.write(&svg::draw(path, &bitmap))?;
    }
    let tree = describe::bitmap(&bitmap);
    print(&match form {
        Form::Json => text::json(&tree),
        Form::Text => text::render(&tree) + &paint::heat_map(&bitmap, paint::Colour::of_stdout()),
    })
}

/// Prints `text`; a reader that went away is no error.
fn print(text: &str) -> Result<Outcome, Failure> {
    use std::io::{ErrorKind, Write as _};
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::io("write", "standard output", error))
        }
        _ => Ok(Outcome::Fine),
    }
}
