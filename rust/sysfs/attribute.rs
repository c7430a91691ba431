// SPDX-License-Identifier: GPL-2.0

//! Attributes: text files below a kernel object, each with a function that shows and one that stores.

use crate::bindings;
use core::{fmt, marker::PhantomData};
use kernel::{prelude::*, str::as_char_ptr_in_const_context, sync::ArcBorrow};

/// Writes an attribute's text to `page`.
pub type Show<T> = fn(this: ArcBorrow<'_, T>, page: &mut Page<'_>) -> Result;

/// Acts on text written to an attribute.
pub type Store<T> = fn(this: ArcBorrow<'_, T>, text: &[u8]) -> Result;

/// An attribute file of objects with payload `T`.
///
/// Both functions run in the context of the reading or writing task and may sleep. sysfs keeps the file from being
/// removed while one runs, so neither may wait for that (see [`Attribute::removes_itself`]).
///
/// # Invariants
///
/// `raw` is the first field, and its name is a static string: a pointer to `raw` is a pointer to the whole.
#[repr(C)]
pub struct Attribute<T: 'static> {
    raw: bindings::attribute,
    pub(super) show: Option<Show<T>>,
    pub(super) store: Option<Store<T>>,
    pub(super) removes_itself: Option<fn(&[u8]) -> bool>,
}

// SAFETY: An attribute is read-only data (a static name, a mode and function pointers); its `skey` member, in kernels
// that have one, is only ever used by its address.
unsafe impl<T> Sync for Attribute<T> {}

impl<T: 'static> Attribute<T> {
    /// An attribute called `name` with file mode `mode`. Without `show` a read gives `EIO`, without `store` a write.
    pub const fn new(
        name: &'static CStr,
        mode: u16,
        show: Option<Show<T>>,
        store: Option<Store<T>>,
    ) -> Self {
        // SAFETY: `attribute` consists of pointers, integers and, with lockdep, an opaque key: all zeroes are valid.
        let mut raw: bindings::attribute = unsafe { core::mem::zeroed() };
        raw.name = as_char_ptr_in_const_context(name);
        raw.mode = mode;
        // INVARIANT: `raw` is the first field of a `repr(C)` structure and its name is static.
        Self {
            raw,
            show,
            store,
            removes_itself: None,
        }
    }

    /// The same attribute, for which a write of a text that `test` accepts may remove the file itself: sysfs then does
    /// not hold the file while `store` runs.
    pub const fn removes_itself(mut self, test: fn(&[u8]) -> bool) -> Self {
        self.removes_itself = Some(test);
        self
    }

    /// # Safety
    ///
    /// `raw` must point at the `raw` field of a live `Attribute<T>` of the same `T`.
    pub(super) unsafe fn from_raw<'a>(raw: *const bindings::attribute) -> &'a Self {
        // SAFETY: By the precondition and the type invariant the pointer is one to the whole attribute. Attributes are
        // only handed to sysfs as `&'static` (see `Group::new`), so it lives for any `'a`.
        unsafe { &*raw.cast::<Self>() }
    }
}

/// A list of attributes that appear and go together.
///
/// # Invariants
///
/// `raw.attrs` is a null-terminated array of pointers to static attributes of payload `T`.
#[repr(transparent)]
pub struct Group<T: 'static> {
    raw: bindings::attribute_group,
    _payload: PhantomData<fn(&T)>,
}

// SAFETY: A group is read-only data.
unsafe impl<T> Sync for Group<T> {}

impl<T: 'static> Group<T> {
    /// The group of the attributes in `list`, in a directory called `name` below the object, or in the object's own
    /// directory when there is no name. The last entry of `list` must be `None`; a list without it does not compile
    /// where the group is a `static`.
    pub const fn new(
        name: Option<&'static CStr>,
        list: &'static [Option<&'static Attribute<T>>],
    ) -> Self {
        assert!(matches!(list.last(), Some(None)));
        // SAFETY: `attribute_group` consists of pointers and function pointers that may be null.
        let mut raw: bindings::attribute_group = unsafe { core::mem::zeroed() };
        if let Some(name) = name {
            raw.name = as_char_ptr_in_const_context(name);
        }
        // INVARIANT: `Option<&Attribute<T>>` has the representation of a pointer that may be null, `list` ends with a
        // null, and sysfs only ever reads the array.
        raw.__bindgen_anon_2.attrs = list.as_ptr().cast_mut().cast();
        Self {
            raw,
            _payload: PhantomData,
        }
    }

    pub(super) fn as_raw(&self) -> *const bindings::attribute_group {
        &raw const self.raw
    }
}

/// The page that an attribute's text is written to; there is room for a byte less than a page.
///
/// What does not fit is cut off, as everywhere in sysfs.
pub struct Page<'a> {
    buffer: &'a mut [u8],
    used: usize,
}

impl<'a> Page<'a> {
    pub(super) fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, used: 0 }
    }

    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// Appends what fits of `text`.
    pub fn push(&mut self, text: &[u8]) {
        let room = self.buffer.get_mut(self.used..).unwrap_or_default();
        let n = room.len().min(text.len());
        if let (Some(to), Some(from)) = (room.get_mut(..n), text.get(..n)) {
            to.copy_from_slice(from);
            self.used = self.used.saturating_add(n);
        }
    }
}

impl fmt::Write for Page<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}
