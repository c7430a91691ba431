// SPDX-License-Identifier: GPL-2.0

//! What a module shows to the rest of the system: files below `/proc`, sysctls, parameters, notifiers, work queues.
//!
//! Coming and going is tried here. What user space reads, writes and polls is tried from user space, by
//! `tests/lib/kunit.sh`, on what [`Shown`] keeps there while the module is loaded.

use kernel::{
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    sync::{
        atomic::{Atomic, Full, Relaxed},
        Arc,
    },
    workqueue::{impl_has_work, new_work, Work, WorkItem},
};
use kernel_ext::{
    capability::{capable, Capability},
    module::ModuleRef,
    params::{Bool, Command, Int, Number},
    random,
    reboot::{Notifier, Priority, Reboot},
    sync::global::{Global, Publication},
    sysctl::Table,
    time,
    uapi::{
        events::Events,
        proc::{Contents, File},
    },
    workqueue::OwnedQueue,
};

/// The module's parameters and its sysctl.
static NUMBER: Int = Int::new(7);
static DECIMAL: Number = Number::new(3, decimal);
static SWITCH: Bool = Bool::new(true);
static COMMAND: Command = Command::new(command);
static LIMIT: Int = Int::new(-3);
static SPARE_LIMIT: Int = Int::new(4);

/// Where the command finds what it changes.
static TOLD: Global<Told> = Global::new();
static PLACE: Global<i32> = Global::new();

kernel_ext::module_params! {
    number: "int", 0o600, NUMBER, "A number";
    decimal: "int", 0o600, DECIMAL, "A number of one digit";
    switch: "bool", 0o644, SWITCH, "A switch";
    command: "string", 0o200, COMMAND, "Counts what is written to it";
}

/// Reads one digit.
fn decimal(text: &[u8]) -> Result<i32> {
    match text.trim_ascii_end() {
        [digit @ b'0'..=b'9'] => Ok(i32::from(digit - b'0')),
        _ => Err(EDOM),
    }
}

/// Counts a text of three letters and tells who polls.
fn command(text: &[u8]) -> Result {
    if text.trim_ascii().len() != 3 {
        return Err(E2BIG);
    }
    let told = TOLD.get().ok_or(ENODEV)?;
    told.commands.fetch_add(1, Full);
    told.events.notify();
    Ok(())
}

/// What `/proc/md_kunit` shows.
struct Told {
    commands: Atomic<i32>,
    events: Events,
}

impl Told {
    fn new() -> Result<Arc<Self>> {
        Ok(Arc::new(
            Self {
                commands: Atomic::new(0),
                events: Events::new()?,
            },
            GFP_KERNEL,
        )?)
    }
}

impl Contents for Told {
    fn show(&self, out: &SeqFile) -> Result {
        let commands = self.commands.load(Relaxed);
        let (number, switch) = (NUMBER.get(), SWITCH.get());
        seq_print!(out, "commands {commands} number {number} switch {switch}\n");
        // Longer than the buffer of a sequential file is at first.
        for line in 0..if switch { 0 } else { 2000 } {
            seq_print!(out, "line {line}\n");
        }
        Ok(())
    }

    fn events(&self) -> &Events {
        &self.events
    }
}

impl Reboot for Told {
    fn reboot(&self) {
        pr_info!("md_kunit: told of the reboot\n");
    }
}

/// What is there for user space to try while the module is loaded.
pub(crate) struct Shown {
    _file: File<Told>,
    _table: Table,
    _notifier: Notifier<Told>,
    _published: Publication<Told>,
}

impl Shown {
    pub(crate) fn new() -> Result<Self> {
        let told = Told::new()?;
        Ok(Self {
            _file: File::create(c"md_kunit", told.clone())?,
            _table: Table::register(c"dev/md_kunit", 0o644, &[(c"limit", &LIMIT)])?,
            _notifier: Notifier::register(told.clone(), Priority::FIRST)?,
            _published: TOLD.publish(told)?,
        })
    }
}

/// Work that counts how often it ran.
#[pin_data]
struct Counted {
    runs: Atomic<i32>,
    #[pin]
    work: Work<Self>,
}

impl_has_work! {
    impl HasWork<Self> for Counted { self.work }
}

impl WorkItem for Counted {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        this.runs.fetch_add(1, Full);
    }
}

impl Counted {
    fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                runs: Atomic::new(0),
                work <- new_work!("md_kunit::Counted"),
            }),
            GFP_KERNEL,
        )
    }
}

#[kunit_tests(kernel_ext_system)]
mod tests {
    use super::*;

    #[test]
    fn files_come_and_go() -> Result {
        for _ in 0..3 {
            let told = Told::new()?;
            told.events.notify();
            let file = File::create(c"md_kunit_again", told.clone())?;
            drop(file);
            // The file was the only other owner.
            assert!(Arc::into_unique_or_drop(told).is_some());
        }
        Ok(())
    }

    #[test]
    fn sysctls_come_and_go() -> Result {
        for _ in 0..3 {
            let numbers = [(c"limit", &LIMIT), (c"spare", &SPARE_LIMIT)];
            drop(Table::register(c"dev/md_kunit_again", 0o444, &numbers)?);
        }
        assert_eq!(SPARE_LIMIT.get(), 4);
        Ok(())
    }

    #[test]
    fn notifiers_come_and_go() -> Result {
        for _ in 0..3 {
            let told = Told::new()?;
            let one = Notifier::register(told.clone(), Priority::FIRST)?;
            let other = Notifier::register(told.clone(), Priority::FIRST)?;
            drop(one);
            drop(other);
            assert!(Arc::into_unique_or_drop(told).is_some());
        }
        Ok(())
    }

    #[test]
    fn work_runs_before_its_queue_goes() -> Result {
        let queue = OwnedQueue::new(c"md_kunit")?;
        let counted = Counted::new()?;
        for run in 1..=5 {
            assert!(queue.enqueue(counted.clone()).is_ok());
            queue.flush();
            assert_eq!(counted.runs.load(Relaxed), run);
        }
        assert!(queue.enqueue(counted.clone()).is_ok());
        drop(queue);
        assert_eq!(counted.runs.load(Relaxed), 6);
        Ok(())
    }

    #[test]
    fn a_place_has_one_value_at_a_time() -> Result {
        assert!(PLACE.get().is_none());
        let published = PLACE.publish(Arc::new(1, GFP_KERNEL)?)?;
        let kept = PLACE.get().ok_or(EINVAL)?;
        let second = PLACE.publish(Arc::new(2, GFP_KERNEL)?);
        assert_eq!(second.err(), Some(EBUSY));
        drop(published);
        assert!(PLACE.get().is_none());
        assert_eq!(*kept, 1);
        let _again = PLACE.publish(Arc::new(3, GFP_KERNEL)?)?;
        assert_eq!(PLACE.get().as_deref(), Some(&3));
        Ok(())
    }

    #[test]
    fn facts_about_the_system() {
        // 2020 and 2100; the clock of a virtual machine is that of its host.
        assert!((1_577_836_800..4_102_444_800).contains(&time::real_seconds()));
        let (one, other): ([u8; 16], [u8; 16]) = (random::bytes(), random::bytes());
        assert!(one != other);
        // A thread of the kernel may do anything.
        assert!(capable(Capability::SysAdmin));
        assert!(ModuleRef::get().is_some());
    }
}
