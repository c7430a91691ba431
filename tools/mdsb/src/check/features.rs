// SPDX-License-Identifier: GPL-2.0

//! Features and logs that the rest of the superblock leaves without a meaning.

use md_core::format::{
    level::Level,
    sb1::{ArrayState, Clustering, CrashLog, Features, JournalUse, Role, Sb1, Unplaced},
};

use super::Findings;
use crate::{found::Superblock, names};

pub(super) fn check(sb: &Superblock<'_>, findings: &mut Findings) {
    check_logs(sb, findings);
    if let Superblock::V1(sb) = sb {
        check_features(sb, findings);
    }
}

/// Whether the array's level, or the one that a reshape gives it, makes use of its log.
fn check_logs(sb: &Superblock<'_>, findings: &mut Findings) {
    let array = sb.array();
    let log = sb.member().crash_log;
    let logs = [
        (
            matches!(log, CrashLog::Bitmap(_)),
            "a bitmap",
            serves(array, Level::is_redundant),
        ),
        (
            matches!(log, CrashLog::Ppl(_)),
            "a partial parity log",
            serves(array, |level| level == Level::Raid5),
        ),
        (
            array.journal == JournalUse::With,
            "a journal",
            serves(array, Level::has_parity),
        ),
    ];
    for (_, log, _) in logs.into_iter().filter(|(there, _, used)| *there && !*used) {
        let level = names::level(array.level);
        findings.add(
            "log-without-use",
            format_args!("{level} makes no use of {log}"),
        );
    }
    findings.add_if(
        array.journal == JournalUse::With && matches!(log, CrashLog::Bitmap(_)),
        "log-without-use",
        "an array with a journal makes no use of a bitmap",
    );
}

fn serves(array: &ArrayState, uses: impl Fn(Level) -> bool) -> bool {
    // What is known of no level is not said of one that is not known.
    let may = |level| matches!(level, Level::Unsupported(_)) || uses(level);
    may(array.level) || array.reshape.is_some_and(|reshape| may(reshape.new_level))
}

fn check_features(sb: &Sb1<'_, Unplaced>, findings: &mut Findings) {
    let array = sb.array();
    let (rests, recovers) = (
        array.reshape.is_none(),
        sb.features().contains(Features::RECOVERY_OFFSET),
    );
    let voids = [
        (
            Features::BITMAP_OFFSET,
            sb.member().crash_log == CrashLog::None,
            "the bitmap's offset is zero",
        ),
        (
            Features::RECOVERY_OFFSET,
            sb.role() == Role::Spare,
            "the member is a spare",
        ),
        (
            Features::RECOVERY_BITMAP,
            !recovers,
            "the member is not being rebuilt",
        ),
        (
            Features::RESHAPE_ACTIVE,
            rests,
            "its position is that of no reshape",
        ),
        (
            Features::RESHAPE_BACKWARDS,
            rests,
            "no reshape is under way",
        ),
        (Features::NEW_OFFSET, rests, "no reshape is under way"),
    ];
    for (feature, void, why) in voids {
        findings.add_if(
            void && sb.features().contains(feature),
            "feature-void",
            format_args!("{} is set, and {why}", names::features(feature).join(", ")),
        );
    }
    findings.add_if(
        array.clustering == Clustering::Clustered && sb.member().crash_log == CrashLog::None,
        "feature-void",
        "clustered is set, and there is no bitmap for the nodes",
    );
}
