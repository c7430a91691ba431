// SPDX-License-Identifier: GPL-2.0

//! The tables of `md_core::bitmap`.

use md_core::bitmap::barrier::{Barrier, Event as BarrierEvent, Outcome as BarrierOutcome};
use md_core::bitmap::cell::{self, Action as CellAction, Cell, Redundancy, Step, Timer, Wanted};
use md_core::bitmap::counter::{
    Age, ClearedOnMedia, Counter, Need, Outcome, StartWrite, Sync as SyncNeed, Writes,
};
use md_core::bitmap::page::write_due;
use md_core::bitmap::resize::merge;
use md_core::state::Health;

use crate::render::{check, grouped, table, Shown, LEGEND};

#[test]
fn llbitmap() {
    let mut out = String::from("# Cells of the lockless bitmap\n\n");
    out.push_str("`md_core::bitmap::cell::step`. An empty field is *nothing to do*, `!` is *must not happen*. ");
    out.push_str(
        "`r` asks for a resync, `l` for building parity, `d` for the daemon.\n\n## Steps\n",
    );
    let envs: Vec<_> = cell::Env::all().collect();
    let name = |env: &cell::Env| format!("{:?}, {:?}, {:?}", env.phase, env.redundancy, env.health);
    out.push_str(&grouped(&envs, name, |env| {
        table(&Cell::ALL, &CellAction::ALL, |cell, action| {
            let step = cell::step(*cell, *action, env);
            let follow = cell::follow_up(*cell, step, env);
            let mut text = match step {
                Step::Stay => String::new(),
                Step::To(to) => to.to_string(),
                Step::Illegal => String::from("!"),
            };
            text.push_str(match follow.wanted {
                Wanted::Nothing => "",
                Wanted::Resync => " `r`",
                Wanted::LazyRecover => " `l`",
            });
            text.push_str(if follow.timer == Timer::Arm {
                " `d`"
            } else {
                ""
            });
            text.trim().to_string()
        })
    }));
    out.push_str("\n## What a sync pass visits\n");
    out.push_str(&grouped(
        &Health::ALL,
        |h| format!("{h:?}"),
        |health| {
            table(&Cell::ALL, &cell::Pass::ALL.map(Shown), |cell, pass| {
                format!("{:?}", cell::visit(*cell, pass.0, *health))
            })
        },
    ));
    out.push_str(
        "\n## When the block of a changed cell is written\n\nColumns: what the cell was.\n\n",
    );
    out.push_str(&table(&Cell::ALL, &Cell::ALL, |from, to| {
        let same = from == to;
        if same {
            String::new()
        } else {
            format!("{:?}", write_due(*from, *to))
        }
    }));
    out.push_str("\n## Two cells merged by a resize\n");
    out.push_str(&grouped(
        &Redundancy::ALL,
        |r| format!("{r:?}"),
        |r| table(&Cell::ALL, &Cell::ALL, |a, b| merge(*a, *b, *r).to_string()),
    ));
    check("llbitmap.md", &out);
}

#[test]
fn counter() {
    let writes = |n| Writes::new(n).expect("small");
    let set = |need, n| Counter::Set {
        need,
        writes: writes(n),
    };
    let mut states = vec![Counter::Clear, Counter::Aged];
    for n in [0, 1, md_core::bitmap::counter::WRITES_MAX] {
        states.extend(Need::ALL.map(|need| set(need, n)));
    }
    let answers = |c: &Counter, event: &&str| match *event {
        "start_write" => match c.start_write() {
            StartWrite::Wait => String::from("wait"),
            StartWrite::Go(next) => name_of(next),
            StartWrite::SetBits(next) => format!("set bits, {}", name_of(next)),
        },
        "end_write, complete" => end_write(*c, Health::Complete),
        "end_write, degraded" => end_write(*c, Health::Degraded),
        "age, superblock recorded" => age(*c, ClearedOnMedia::Recorded),
        "age, superblock due" => age(*c, ClearedOnMedia::Due),
        "start_sync, complete" => start_sync(*c, Health::Complete, Health::Complete),
        "start_sync, rebuilding" => start_sync(*c, Health::Complete, Health::Degraded),
        "start_sync, slot empty" => start_sync(*c, Health::Degraded, Health::Degraded),
        "end_sync, done" => changed(*c, c.end_sync(Outcome::Done).0),
        _ => changed(*c, c.end_sync(Outcome::Aborted).0),
    };
    let events = [
        "start_write",
        "end_write, complete",
        "end_write, degraded",
        "age, superblock recorded",
        "age, superblock due",
        "start_sync, complete",
        "start_sync, rebuilding",
        "start_sync, slot empty",
        "end_sync, done",
        "end_sync, aborted",
    ];
    let heads: Vec<_> = states.iter().map(|c| name_of(*c)).collect();
    let by_head = |head: &String, event: &&str| {
        let at = heads
            .iter()
            .position(|h| h == head)
            .expect("a head of the table");
        answers(&states[at], event)
    };
    let text = table(&heads, &events, by_head);
    let intro = "# The classic bitmap's counter\n\n`md_core::bitmap::counter::Counter`. ";
    check(
        "counter.md",
        &format!("{intro}{LEGEND}`n+` is the need, `wN` the writes in flight.\n\n{text}"),
    );
}

fn name_of(c: Counter) -> String {
    match c {
        Counter::Clear => String::from("Clear"),
        Counter::Aged => String::from("Aged"),
        Counter::Set {
            need: Need::None,
            writes,
        } => format!("Set w{}", writes.get()),
        Counter::Set { need, writes } => format!("Set {need:?} w{}", writes.get()),
    }
}

fn changed(from: Counter, to: Counter) -> String {
    if from == to {
        String::new()
    } else {
        name_of(to)
    }
}

fn end_write(c: Counter, health: Health) -> String {
    c.end_write(health)
        .map_or_else(|why| format!("*{why:?}*"), |end| name_of(end.counter))
}

fn age(c: Counter, media: ClearedOnMedia) -> String {
    match c.age(media) {
        Age::Stay => String::new(),
        Age::Again(next) if next == c => String::from("again"),
        Age::Again(next) => name_of(next),
        Age::ClearBit => String::from("clear bit, Clear"),
    }
}

fn start_sync(c: Counter, slots: Health, array: Health) -> String {
    let (next, sync) = c.start_sync(slots, array);
    match sync {
        SyncNeed::Skip => changed(c, next),
        SyncNeed::Needed => format!("sync {}", changed(c, next)).trim().to_string(),
    }
}

#[test]
fn barrier() {
    let mut states = vec![Barrier::OPEN];
    for history in [
        vec![BarrierEvent::Enter],
        vec![BarrierEvent::Enter, BarrierEvent::Suspend],
        vec![BarrierEvent::Suspend],
    ] {
        let last = history
            .into_iter()
            .fold(Barrier::OPEN, |b, e| match b.step(e) {
                Ok(BarrierOutcome::Moved(next, _)) => next,
                other => panic!("{other:?}"),
            });
        states.push(last);
    }
    let name = |b: &Barrier| format!("{:?}, {} inside", b.gate(), b.writers());
    let heads: Vec<_> = states.iter().map(name).collect();
    let text = table(&heads, &BarrierEvent::ALL.map(Shown), |head, event| {
        let at = heads
            .iter()
            .position(|h| h == head)
            .expect("a head of the table");
        match states[at].step(event.0) {
            Ok(BarrierOutcome::Wait) => String::from("wait"),
            Ok(BarrierOutcome::Moved(to, wake)) => format!("{}; wake {wake:?}", name(&to)),
            Err(why) => format!("*{why:?}*"),
        }
    });
    let intro = "# The barrier of a bitmap page\n\n`md_core::bitmap::barrier::Barrier`. ";
    check("barrier.md", &format!("{intro}{LEGEND}\n{text}"));
}
