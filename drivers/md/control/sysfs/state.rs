// SPDX-License-Identifier: GPL-2.0

//! `md/array_state`.

use super::line;
use crate::{
    array::{Array, Configuration},
    control::ioctl,
    error::OrErrno,
};
use kernel::{prelude::*, sync::ArcBorrow};
use kernel_ext::sysfs::{Attribute, Page};
use md_core::{
    state::{
        array::Array as State,
        clean::Writes,
        request::{Env, Openers, Plan, Work, Writability},
    },
    words::array::ArrayStateRequest,
};

pub(super) static ARRAY_STATE: Attribute<Array> =
    super::writable(c"array_state", show, store).removes_itself(asks_for_removal);

fn asks_for_removal(text: &[u8]) -> bool {
    ArrayStateRequest::parse(text) == Ok(ArrayStateRequest::Clear)
}

fn show(this: ArcBorrow<'_, Array>, page: &mut Page<'_>) -> Result {
    line(page, this.look()?.state().shown())
}

fn store(this: ArcBorrow<'_, Array>, text: &[u8]) -> Result {
    let request = ArrayStateRequest::parse(text).or_errno()?;
    // Who closes a writable array keeps others from opening it. Without an opener all that was written is on its way
    // to the members, so there is nothing to sync.
    let closing = closes(request, this.look()?.state())
        .then(|| this.life().begin_closing(u32::MAX))
        .transpose()?;
    let mut config = lock(&this, request)?;
    let plan = config
        .state()
        .request(request, &environment(&this, &config))
        .or_errno()?;
    let Plan::Do { work, then } = plan else {
        drop(config);
        return done(&this);
    };
    match work {
        Work::Dismantle => {
            drop(config);
            this.stop(ioctl::removal())?;
            if let Some(closing) = closing {
                closing.stay_closed();
            }
            return done(&this);
        }
        Work::Start(start) => this.run(&mut config, start)?,
        Work::Stop => this.halt(&mut config)?,
        Work::MarkClean => config.mark_clean()?,
        Work::StopWrites | Work::AllowWrites | Work::ReleaseWriters | Work::Relabel => {
            this.set_access(&mut config, then);
        }
    }
    drop(config);
    done(&this)
}

/// Whether a request may end the use of an array in this state. To start one, nobody need be kept from opening it.
fn closes(request: ArrayStateRequest, state: State) -> bool {
    request == ArrayStateRequest::Clear || (state.is_writable() && !is_about_writes(request))
}

/// Whether a request is about clean and dirty alone, if the array runs.
fn is_about_writes(request: ArrayStateRequest) -> bool {
    matches!(
        request,
        ArrayStateRequest::Active | ArrayStateRequest::Clean
    )
}

/// Locks the configuration for a request. Words about clean and dirty are for arrays with I/O under way, which may
/// even be waiting for the word; all others change what runs.
fn lock(this: &Array, request: ArrayStateRequest) -> Result<Configuration<'_>> {
    if is_about_writes(request) {
        let config = this.configure()?;
        if config.running.is_some() {
            return Ok(config);
        }
    }
    this.reconfigure()
}

/// The request was carried out.
fn done(this: &Array) -> Result {
    this.life().end_hold_by_number();
    this.notify_state();
    Ok(())
}

/// What a request depends on besides the state of the array.
fn environment(this: &Array, config: &Configuration<'_>) -> Env {
    let read_only = |entry: &crate::member::entry::Entry| entry.device().is_read_only();
    Env {
        openers: if this.life().has_openers() {
            Openers::Some
        } else {
            Openers::None
        },
        writes: Writes::Quiet,
        metadata: config.metadata_kind(),
        writability: if config.members.iter().any(read_only) {
            Writability::MemberReadOnly
        } else {
            Writability::Allowed
        },
    }
}
