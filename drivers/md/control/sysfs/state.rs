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
        clean::Writes,
        request::{Env, Openers, Plan, Work, Writability},
        Metadata,
    },
    words::array::{ArrayStateRequest, MetadataVersion},
};

pub(super) static ARRAY_STATE: Attribute<Array> =
    super::writable(c"array_state", show, store).removes_itself(asks_for_removal);

fn asks_for_removal(text: &[u8]) -> bool {
    ArrayStateRequest::parse(text) == Ok(ArrayStateRequest::Clear)
}

fn show(this: ArcBorrow<'_, Array>, page: &mut Page<'_>) -> Result {
    line(page, this.configure()?.state().shown())
}

fn store(this: ArcBorrow<'_, Array>, text: &[u8]) -> Result {
    let request = ArrayStateRequest::parse(text).or_errno()?;
    let mut config = this.configure()?;
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
            let closing = this.life().begin_closing()?;
            this.place().with_disk(|disk| disk.sync()).transpose()?;
            this.stop(ioctl::removal())?;
            closing.stay_closed();
            return done(&this);
        }
        Work::Start(start) => this.run(&mut config, start)?,
        Work::Stop => {
            this.place().with_disk(|disk| disk.sync()).transpose()?;
            this.halt(&mut config);
        }
        Work::StopWrites
        | Work::AllowWrites
        | Work::MarkClean
        | Work::ReleaseWriters
        | Work::Relabel => {
            this.set_access(&mut config, then);
        }
    }
    drop(config);
    done(&this)
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
        metadata: match config.metadata {
            MetadataVersion::None => Metadata::None,
            MetadataVersion::External(_) => Metadata::External,
            MetadataVersion::V0 { .. } | MetadataVersion::V1 { .. } => Metadata::Native,
        },
        writability: if config.members.iter().any(read_only) {
            Writability::MemberReadOnly
        } else {
            Writability::Allowed
        },
    }
}
