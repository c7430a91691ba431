// SPDX-License-Identifier: GPL-2.0

//! Every state, event and environment of the machines in `md_core::state`, walked exhaustively.

use md_core::format::level::Level;
use md_core::state::admit::{Admission, Io};
use md_core::state::array::{
    Access, Array, Event as ArrayEvent, Failure, Illegal as ArrayIllegal, StartAs,
};
use md_core::state::clean::{self, Dirtiness, Writes};
use md_core::state::member::{
    self, Duty, Event, Illegal, Loss, Member, Pending, Place, Record, Run, Seat,
};
use md_core::state::pass::{Action, Pass, Phase, Stop};
use md_core::state::request::{Env, Openers, Plan, Work, Writability};
use md_core::state::sync::{self, choose, Neighbours, Recovery, Request, Reshape, Resync, Sync};
use md_core::state::takeover::{
    takeover, Bitmap, LastSlot, LayoutNumber, Others, Slots, Source, Takeover, Zones,
};
use md_core::state::{Health, Metadata, Next};
use md_core::units::{Sector, Sectors, Slot};
use md_core::words::array::ArrayStateRequest;
use md_core::words::sync::SyncAction;
use proptest::prelude::*;

const REQUESTS: [ArrayStateRequest; 6] = [
    ArrayStateRequest::Clear,
    ArrayStateRequest::Inactive,
    ArrayStateRequest::Readonly,
    ArrayStateRequest::ReadAuto,
    ArrayStateRequest::Clean,
    ArrayStateRequest::Active,
];

fn array_envs() -> Vec<Env> {
    let mut envs = Vec::new();
    for openers in Openers::ALL {
        for writes in Writes::ALL {
            for metadata in Metadata::ALL {
                for writability in Writability::ALL {
                    envs.push(Env {
                        openers,
                        writes,
                        metadata,
                        writability,
                    });
                }
            }
        }
    }
    envs
}

/// What a plan's work does, as events of the machine.
fn events_of(work: Work, word: ArrayStateRequest, from: Array) -> Vec<ArrayEvent> {
    let running = matches!(from, Array::Running { .. });
    match work {
        Work::Start(how) => vec![ArrayEvent::Configured, ArrayEvent::Started(how)],
        Work::Stop => vec![ArrayEvent::Stopped],
        Work::Dismantle if running => vec![ArrayEvent::Stopped, ArrayEvent::Emptied],
        Work::Dismantle => vec![ArrayEvent::Emptied],
        Work::AllowWrites => vec![ArrayEvent::Reopened],
        Work::MarkClean => vec![ArrayEvent::Tracked(clean::Event::Settle)],
        Work::ReleaseWriters => vec![ArrayEvent::Tracked(clean::Event::Recorded)],
        // No event leads to less access; only these two words do.
        Work::StopWrites | Work::Relabel => {
            assert!(matches!(
                word,
                ArrayStateRequest::Readonly | ArrayStateRequest::ReadAuto
            ));
            vec![]
        }
    }
}

/// A plan names the state that its work leads to, and never more access than the members allow.
#[test]
fn plans_agree_with_the_machine() {
    for env in array_envs() {
        for state in Array::ALL {
            for word in REQUESTS {
                let Ok(Plan::Do { work, then }) = state.request(word, &env) else {
                    continue;
                };
                let track = clean::Env {
                    writes: env.writes,
                    metadata: env.metadata,
                };
                let events = events_of(work, word, state);
                if events.is_empty() {
                    let Array::Running { access, failure } = then else {
                        panic!("{state} {word:?}")
                    };
                    assert!(matches!(access, Access::ReadOnly | Access::ReadAuto));
                    assert!(matches!(state, Array::Running { failure: f, .. } if f == failure));
                    continue;
                }
                let reached = events
                    .iter()
                    .try_fold(state, |s, e| s.step(*e, &track).map(|n| n.after(s)));
                assert_eq!(reached, Ok(then), "{state} {word:?} {env:?}");
            }
        }
    }
}

#[test]
fn no_word_opens_an_array_whose_members_forbid_it() {
    for env in array_envs()
        .into_iter()
        .filter(|e| e.writability != Writability::Allowed)
    {
        for failure in [Failure::Intact, Failure::Broken] {
            for word in REQUESTS {
                let plan = Array::running(Access::ReadOnly, failure).request(word, &env);
                if let Ok(Plan::Do {
                    then: Array::Running { access, .. },
                    ..
                }) = plan
                {
                    panic!("{word:?} leads to {access:?}");
                }
            }
        }
    }
}

#[test]
fn an_array_step_is_total_and_keeps_failure_until_stopped() {
    for writes in Writes::ALL {
        for metadata in Metadata::ALL {
            let env = clean::Env { writes, metadata };
            for state in Array::ALL {
                for event in ArrayEvent::ALL {
                    let next = state.step(event, &env);
                    assert_ne!(next, Ok(Next::To(state)), "{state} {event:?}");
                    let broken = matches!(
                        state,
                        Array::Running {
                            failure: Failure::Broken,
                            ..
                        }
                    );
                    if let (true, Ok(Next::To(Array::Running { failure, .. }))) = (broken, next) {
                        assert_eq!(failure, Failure::Broken, "{state} {event:?}");
                    }
                    let tracked = matches!(event, ArrayEvent::Tracked(_));
                    if tracked
                        && !matches!(
                            state,
                            Array::Running {
                                access: Access::Writable(_),
                                ..
                            }
                        )
                    {
                        assert!(matches!(
                            next,
                            Err(ArrayIllegal::NotRunning | ArrayIllegal::NotWritable)
                        ));
                    }
                }
            }
        }
    }
}

/// A write comes to be served after at most: reopen, track, record.
#[test]
fn every_admitted_write_gets_through() {
    let env = clean::Env {
        writes: Writes::Quiet,
        metadata: Metadata::Native,
    };
    for start in Array::ALL {
        let mut state = start;
        let mut turns = 0;
        loop {
            let event = match state.admit(Io::Write) {
                Err(_) => break,
                Ok(Admission::Serve | Admission::Complete) => break,
                Ok(Admission::Reopen) => ArrayEvent::Reopened,
                Ok(Admission::Track) if turns % 2 == 1 => {
                    ArrayEvent::Tracked(clean::Event::WriteStart)
                }
                Ok(Admission::Track) => ArrayEvent::Tracked(clean::Event::Recorded),
            };
            state = state.step(event, &env).expect("legal").after(state);
            turns += 1;
            assert!(turns <= 5, "{start} does not come to serve a write");
        }
    }
}

const PLACE: Place = Place {
    slot: Slot::new(3),
    seat: Seat::Main,
};
const SEAT2: Place = Place {
    slot: Slot::new(3),
    seat: Seat::Replacement,
};

fn members() -> Vec<Member> {
    let mut all = vec![
        Member::Spare { last: None },
        Member::Spare {
            last: Some(PLACE.slot),
        },
    ];
    for place in [PLACE, SEAT2] {
        all.push(Member::InSync(place));
        for upto in [Sector::ZERO, Sector::new(64), Sector::MAX] {
            all.push(Member::Rebuilding { place, upto });
        }
    }
    all.push(Member::Journal {
        tail: Sector::new(8),
    });
    let duties = [
        Duty::Spare { last: None },
        Duty::Spare {
            last: Some(PLACE.slot),
        },
        Duty::Place(PLACE),
        Duty::Place(SEAT2),
        Duty::Journal,
    ];
    for was in duties {
        for record in [Record::Pending, Record::Done] {
            all.push(Member::Faulty { was, record });
        }
    }
    all
}

fn member_events() -> Vec<Event> {
    vec![
        Event::Place(PLACE),
        Event::Place(SEAT2),
        Event::Join(PLACE),
        Event::Advance(Sector::new(32)),
        Event::Advance(Sector::MAX),
        Event::Activate,
        Event::Fail,
        Event::Acknowledge,
        Event::Detach,
        Event::Readd,
        Event::Promote,
        Event::Forget,
        Event::Distrust,
    ]
}

fn member_envs() -> Vec<member::Env> {
    let mut envs = Vec::new();
    for pending in Pending::ALL {
        for loss in Loss::ALL {
            for run in Run::ALL {
                envs.push(member::Env { pending, loss, run });
            }
        }
    }
    envs
}

/// The rules that hold for whatever happens to a member.
#[test]
fn member_rules() {
    for env in member_envs() {
        for member in members() {
            for event in member_events() {
                let Ok(Next::To(to)) = member.step(event, &env) else {
                    continue;
                };
                let what = format!("{member} {event} {env:?} -> {to}");
                assert_ne!(to, member, "{what}");
                let faulty = |m: Member| matches!(m, Member::Faulty { .. });
                if faulty(member) && !faulty(to) {
                    assert_eq!(event, Event::Readd, "{what}");
                }
                if !faulty(member) && faulty(to) {
                    assert_eq!(event, Event::Fail, "{what}");
                }
                if let (Member::Spare { .. }, Member::InSync(_)) = (member, to) {
                    assert!(matches!(event, Event::Join(_)), "{what}");
                }
                if let (Member::Rebuilding { upto, .. }, Member::InSync(_)) = (member, to) {
                    assert_eq!(upto, Sector::MAX, "{what}");
                }
                if member.place().is_some() && to.place().is_none() {
                    let quiet = env.pending == Pending::None || event == Event::Distrust;
                    assert!(quiet, "I/O in flight: {what}");
                    let unrecorded = matches!(
                        member,
                        Member::Faulty {
                            record: Record::Pending,
                            ..
                        }
                    );
                    assert!(!unrecorded, "{what}");
                }
            }
        }
    }
}

#[test]
fn a_replacement_takes_the_main_seat_as_far_as_it_is() {
    let at = |seat, upto| Member::Rebuilding {
        place: Place { seat, ..PLACE },
        upto: Sector::new(upto),
    };
    let env = member_envs()[0];
    let promoted = at(Seat::Replacement, 8).step(Event::Promote, &env);
    assert_eq!(promoted, Ok(Next::To(at(Seat::Main, 8))));
    let main = at(Seat::Main, 8).step(Event::Promote, &env);
    assert_eq!(main, Err(Illegal::NotReplacement));
}

#[test]
fn a_failure_is_always_possible_but_for_the_last_copy() {
    for env in member_envs() {
        for member in members() {
            let last = env.loss == Loss::LastCopy && matches!(member, Member::InSync(_));
            let answer = member.step(Event::Fail, &env);
            assert_eq!(answer == Err(Illegal::LastCopy), last, "{member}");
            assert_eq!(answer.is_ok(), !last, "{member}");
        }
    }
}

fn sync_envs() -> Vec<sync::Env> {
    let mut envs = Vec::new();
    for access in sync::Access::ALL {
        for reshape in Reshape::ALL {
            for resync in Resync::ALL {
                for recovery in Recovery::ALL {
                    for neighbours in Neighbours::ALL {
                        envs.push(sync::Env {
                            access,
                            reshape,
                            resync,
                            recovery,
                            neighbours,
                        });
                    }
                }
            }
        }
    }
    envs
}

fn syncs() -> Vec<Sync> {
    let mut all = vec![Sync::Idle, Sync::Frozen { pending: None }];
    all.extend(Request::ALL.map(|request| Sync::Frozen {
        pending: Some(request),
    }));
    all.extend(Request::ALL.map(Sync::Requested));
    for action in Action::ALL {
        for phase in [
            Phase::Waiting,
            Phase::Running(Sector::new(8)),
            Phase::Reaping,
        ] {
            for stop in [
                None,
                Some(Stop::Interrupted),
                Some(Stop::Idle),
                Some(Stop::Freeze),
            ] {
                for after in Request::ALL {
                    all.push(Sync::Active(Pass {
                        action,
                        phase,
                        stop,
                        after,
                    }));
                }
            }
        }
    }
    all
}

fn sync_events() -> Vec<sync::Event> {
    let mut all = vec![
        sync::Event::Choose,
        sync::Event::Unblocked,
        sync::Event::Progress(Sector::new(4)),
        sync::Event::Progress(Sector::new(16)),
        sync::Event::Interrupt,
        sync::Event::Ended,
        sync::Event::Reaped,
    ];
    all.extend(SyncAction::ALL.iter().map(|word| sync::Event::Write(*word)));
    all.extend(Request::ALL.map(sync::Event::Need));
    all
}

/// The rules that hold for whatever happens to the sync machinery.
#[test]
fn sync_rules() {
    for env in sync_envs() {
        for state in syncs() {
            for event in sync_events() {
                let answer = state.step(event, &env);
                let what = format!("{state} {event} {env:?} -> {answer:?}");
                assert_ne!(answer, Ok(Next::To(state)), "{what}");
                let Ok(Next::To(to)) = answer else { continue };
                match (state, to) {
                    (Sync::Active(was), Sync::Active(is)) => {
                        assert_eq!(was.action, is.action, "{what}")
                    }
                    (Sync::Active(was), _) => {
                        assert_eq!(was.phase, Phase::Reaping, "{what}");
                        let frozen = was.stop == Some(Stop::Freeze);
                        assert_eq!(matches!(to, Sync::Frozen { .. }), frozen, "{what}");
                    }
                    (_, Sync::Active(is)) => {
                        assert!(
                            matches!((state, event), (Sync::Requested(_), sync::Event::Choose)),
                            "{what}"
                        );
                        assert_eq!(
                            (env.access, is.stop),
                            (sync::Access::Writable, None),
                            "{what}"
                        );
                    }
                    (Sync::Frozen { .. }, Sync::Frozen { .. }) => {}
                    (Sync::Frozen { .. }, _) => {
                        assert!(matches!(event, sync::Event::Write(_)), "{what}")
                    }
                    _ => {}
                }
            }
        }
    }
}

/// `frozen` and `idle` are accepted everywhere; `frozen` shows at once.
#[test]
fn frozen_and_idle_are_always_accepted() {
    for env in sync_envs() {
        for state in syncs() {
            let freeze = state
                .step(sync::Event::Write(SyncAction::Frozen), &env)
                .expect("always accepted");
            assert_eq!(
                freeze.after(state).shown(&env),
                SyncAction::Frozen,
                "{state}"
            );
            let idle = state
                .step(sync::Event::Write(SyncAction::Idle), &env)
                .expect("always accepted");
            assert_ne!(idle.after(state).shown(&env), SyncAction::Frozen, "{state}");
        }
    }
}

/// Every request comes to be served, or nothing can be: at most one pass of each other kind runs before it.
#[test]
fn no_request_is_lost() {
    for env in sync_envs() {
        for request in Request::ALL.into_iter().filter(|r| *r != Request::Look) {
            let Some((action, after)) = choose(request, &env) else {
                continue;
            };
            let own = match request {
                Request::Check => Action::Check,
                Request::Repair => Action::Repair,
                Request::LazyRecover => Action::LazyRecover,
                _ => Action::Resync,
            };
            let covered = action == Action::Resync && request == Request::LazyRecover;
            assert!(
                action == own || covered || after == request,
                "{request:?} {env:?}"
            );
        }
    }
}

fn sources() -> impl Strategy<Value = Source> {
    let level = prop::sample::select(vec![
        Level::Linear,
        Level::Raid0,
        Level::Raid1,
        Level::Raid4,
        Level::Raid5,
        Level::Raid6,
        Level::Raid10,
    ]);
    let layout = prop_oneof![0u32..24, Just(0x102), any::<u32>()];
    (
        level,
        layout,
        0u16..300,
        0u16..4,
        any::<[bool; 4]>(),
        0u64..1 << 20,
    )
        .prop_map(
            |(level, layout, slots, missing, [last, others, bitmap, zones], size)| Source {
                level,
                layout: LayoutNumber(layout),
                slots: Slots(slots),
                missing: Slots(missing),
                last_slot: if last {
                    LastSlot::Taken
                } else {
                    LastSlot::Empty
                },
                others: if others { Others::Some } else { Others::None },
                bitmap: if bitmap { Bitmap::Some } else { Bitmap::None },
                zones: if zones { Zones::Several } else { Zones::One },
                size: Sectors::new(size),
                chunk_min: Sectors::new(8),
                slots_end: Slots(u16::MAX),
            },
        )
}

/// Slots that hold data: what a takeover may not change but by naming mirrors.
fn data_slots(level: Level, slots: u16, layout: u32) -> Option<u16> {
    match level {
        Level::Raid0 => Some(slots),
        Level::Raid4 | Level::Raid5 => slots.checked_sub(1),
        Level::Raid6 => slots.checked_sub(2),
        Level::Raid10 if layout == 0x102 => Some(slots / 2),
        Level::Raid1 => Some(1),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    /// A takeover keeps the amount of data, names the level asked for, and only sees what is missing.
    #[test]
    fn takeover_keeps_the_data(source in sources(), to in prop::sample::select(vec![
        Level::Raid0, Level::Raid1, Level::Raid4, Level::Raid5, Level::Raid6, Level::Raid10, Level::Linear,
    ])) {
        let made = takeover(to, &source);
        if to == source.level {
            prop_assert_eq!(made, Ok(None));
            return Ok(());
        }
        let Ok(Some(Takeover { level, layout, slots, health, .. })) = made else { return Ok(()) };
        prop_assert_eq!(level, to);
        prop_assert!(source.level != Level::Linear && to != Level::Linear);
        let before = data_slots(source.level, source.slots.0, source.layout.0);
        prop_assert_eq!(before, data_slots(level, slots.0, layout.0), "{:?}", source);
        if level == Level::Raid0 {
            prop_assert_eq!(health, Health::Complete);
            prop_assert_eq!(source.bitmap, Bitmap::None);
            prop_assert_eq!(source.others, Others::None);
        }
    }
}

#[test]
fn dirtiness_is_total() {
    let mut answers = 0;
    for writes in Writes::ALL {
        for metadata in Metadata::ALL {
            for state in Dirtiness::ALL {
                for event in clean::Event::ALL {
                    let answer = state.step(event, &clean::Env { writes, metadata });
                    assert_ne!(answer, Ok(Next::To(state)));
                    answers += usize::from(answer.is_ok());
                }
            }
        }
    }
    assert!(answers > 0);
    assert_eq!(
        StartAs::Writable.access(),
        Access::Writable(Dirtiness::Clean)
    );
}
