// SPDX-License-Identifier: GPL-2.0

//! The write-intent bitmap backends. What is particular to one is behind [`Backend`]; which one serves a kind is said
//! once, in [`of_kind`].

use md_core::words::bitmap::BitmapKind;

/// One write-intent bitmap of one array.
#[allow(dead_code, reason = "the registry of backends is still empty")]
pub(crate) trait Backend: Send + Sync {}

/// The backend of a kind of bitmap, or `None` when there is none.
#[allow(dead_code, reason = "the registry of backends is still empty")]
pub(crate) fn of_kind(kind: BitmapKind) -> Option<&'static dyn Backend> {
    match kind {
        BitmapKind::None | BitmapKind::Bitmap | BitmapKind::Llbitmap => None,
    }
}
