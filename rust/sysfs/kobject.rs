// SPDX-License-Identifier: GPL-2.0

//! A kernel object of our own type, with a directory in sysfs.

use super::{attribute::Page, Attribute, Dirent, Group};
use crate::{bindings, module::ModuleRef};
use core::{ffi::CStr, marker::PhantomData, ptr::NonNull};
use kernel::{
    error::{from_result, to_result},
    ffi,
    prelude::*,
    sync::{Arc, ArcBorrow},
    types::Opaque,
};

/// What a caller is about to do to an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read its text.
    Show,
    /// Write a text to it.
    Store,
}

/// What a [`Kobject`] stands for.
pub trait Payload: Send + Sync + Sized + 'static {
    /// Groups that exist as long as the object does. The last entry is `None`.
    const GROUPS: &'static [Option<&'static Group<Self>>];

    /// Held while an attribute's function runs.
    type Guard<'a>;

    /// Asked before each attribute function; an error is the result of the read or write.
    fn enter(this: ArcBorrow<'_, Self>, access: Access) -> Result<Self::Guard<'_>>;
}

/// A kernel object that may be the parent of another.
pub trait AsKobject {
    #[doc(hidden)]
    fn as_kobject(&self) -> RawKobject;
}

/// A pointer to a kernel object, valid as long as what it was taken from is borrowed.
#[doc(hidden)]
pub struct RawKobject(pub(crate) *mut bindings::kobject);

/// Something happened to an object that user space may want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uevent {
    /// It appeared (`KOBJ_ADD`).
    Add,
    /// It changed (`KOBJ_CHANGE`).
    Change,
}

/// What sysfs reference-counts: the object and its share of the payload.
#[repr(C)]
struct Inner<T: Payload> {
    raw: Opaque<bindings::kobject>,
    payload: Arc<T>,
}

/// An object that is present in sysfs. Dropping it removes its directory, waiting for running attribute functions.
///
/// # Invariants
///
/// The pointer is to an `Inner<T>` that was added to sysfs and of which this value owns one reference.
pub struct Kobject<T: Payload> {
    inner: NonNull<Inner<T>>,
}

// SAFETY: Kernel objects may be used and released from any task; the payload is `Send` and `Sync` by its bound.
unsafe impl<T: Payload> Send for Kobject<T> {}
// SAFETY: As above; all methods that take `&self` are thread-safe in C.
unsafe impl<T: Payload> Sync for Kobject<T> {}

/// The C side of objects with payload `T`.
struct Vtable<T: Payload>(PhantomData<T>);

impl<T: Payload> Vtable<T> {
    const OPS: bindings::sysfs_ops = bindings::sysfs_ops {
        show: Some(Self::show),
        store: Some(Self::store),
    };

    const TYPE: bindings::kobj_type = bindings::kobj_type {
        release: Some(Self::release),
        sysfs_ops: &Self::OPS,
        default_groups: T::GROUPS.as_ptr().cast_mut().cast(),
        child_ns_type: None,
        namespace: None,
        get_ownership: None,
    };

    /// # Safety
    ///
    /// `kobj` must be the `raw` field of a live `Inner<T>`.
    unsafe fn payload<'a>(kobj: *mut bindings::kobject) -> ArcBorrow<'a, T> {
        // SAFETY: `raw` is the first field of `Inner`, which is `repr(C)`.
        let inner = unsafe { &*kobj.cast::<Inner<T>>() };
        inner.payload.as_arc_borrow()
    }

    /// # Safety
    ///
    /// Only for `sysfs_ops.show`: `kobj` is of this type, `attr` is one of its attributes, `page` has a page of bytes.
    unsafe extern "C" fn show(
        kobj: *mut bindings::kobject,
        attr: *mut bindings::attribute,
        page: *mut ffi::c_char,
    ) -> isize {
        // SAFETY: Attributes only enter sysfs through `Group<T>` of the same `T`.
        let attr = unsafe { Attribute::<T>::from_raw(attr) };
        // SAFETY: sysfs calls with a live object of this type.
        let this = unsafe { Self::payload(kobj) };
        // One byte less than there is: sysfs takes a whole page for a write beyond it.
        // SAFETY: sysfs passes a zeroed buffer of a page that nobody else uses during the call.
        let buffer = unsafe { core::slice::from_raw_parts_mut(page, kernel::page::PAGE_SIZE - 1) };
        from_result(|| {
            let show = attr.show.ok_or(EIO)?;
            let _guard = T::enter(this, Access::Show)?;
            let mut page = Page::new(buffer);
            show(this, &mut page)?;
            isize::try_from(page.used()).map_err(|_| EOVERFLOW)
        })
    }

    /// # Safety
    ///
    /// Only for `sysfs_ops.store`: as for `show`, and `text` has `len` bytes.
    unsafe extern "C" fn store(
        kobj: *mut bindings::kobject,
        attr: *mut bindings::attribute,
        text: *const ffi::c_char,
        len: usize,
    ) -> isize {
        // SAFETY: Attributes only enter sysfs through `Group<T>` of the same `T`.
        let attribute = unsafe { Attribute::<T>::from_raw(attr) };
        // SAFETY: sysfs calls with a live object of this type.
        let this = unsafe { Self::payload(kobj) };
        // SAFETY: sysfs passes `len` readable bytes.
        let text = unsafe { core::slice::from_raw_parts(text, len) };
        from_result(|| {
            let store = attribute.store.ok_or(EIO)?;
            let _guard = T::enter(this, Access::Store)?;
            // Dropped before `_guard`: what the guard's drop may remove must not be held by this call.
            let _unprotected = attribute
                .removes_itself
                .is_some_and(|test| test(text))
                // SAFETY: Called from within this attribute's store function, on its own object and attribute.
                .then(|| unsafe { Unprotected::new(kobj, attr) })
                .transpose()?;
            store(this, text)?;
            isize::try_from(len).map_err(|_| EOVERFLOW)
        })
    }

    /// # Safety
    ///
    /// Only for `kobj_type.release`: `kobj` is of this type and its last reference is gone.
    unsafe extern "C" fn release(kobj: *mut bindings::kobject) {
        // SAFETY: The allocation came from `KBox::into_raw` in `Kobject::add`, and nobody else has it any more.
        drop(unsafe { KBox::from_raw(kobj.cast::<Inner<T>>()) });
    }
}

/// A running store function that does not keep its own file from being removed. As nobody waits for it, the module
/// must not go before it.
struct Unprotected {
    node: *mut bindings::kernfs_node,
    _module: ModuleRef,
}

impl Unprotected {
    /// # Safety
    ///
    /// To be called from the store function of `attr` of `kobj`, at most once a call.
    ///
    /// `ENODEV` while the module is being unloaded, which removes the file anyway.
    unsafe fn new(kobj: *mut bindings::kobject, attr: *const bindings::attribute) -> Result<Self> {
        let module = ModuleRef::get().ok_or(ENODEV)?;
        Ok(Self {
            // SAFETY: The caller is the running store function.
            node: unsafe { bindings::sysfs_break_active_protection(kobj, attr) },
            _module: module,
        })
    }
}

impl Drop for Unprotected {
    fn drop(&mut self) {
        if !self.node.is_null() {
            // SAFETY: The node is what `sysfs_break_active_protection` returned, given back once.
            unsafe { bindings::sysfs_unbreak_active_protection(self.node) };
        }
    }
}

impl<T: Payload> Kobject<T> {
    /// Adds an object called `name` below `parent`, with the groups of `T`. Whether user space is told is
    /// the caller's choice ([`Kobject::uevent`]).
    ///
    /// May sleep. `EEXIST` when `parent` has an entry of that name.
    pub fn add(parent: &impl AsKobject, name: &CStr, payload: Arc<T>) -> Result<Self> {
        let inner = KBox::new(
            Inner {
                raw: Opaque::zeroed(),
                payload,
            },
            GFP_KERNEL,
        )?;
        let inner = KBox::into_raw(inner);
        let raw = inner.cast::<bindings::kobject>();
        // SAFETY: `raw` is zeroed memory of a kernel object, and the type is a promoted constant that lives forever.
        unsafe { bindings::kobject_init(raw, &Vtable::<T>::TYPE) };
        // SAFETY: The object is initialised, the parent is alive as it is borrowed, the format takes one C string.
        let added = to_result(unsafe {
            bindings::kobject_add(
                raw,
                parent.as_kobject().0,
                c"%s".as_char_ptr(),
                name.as_char_ptr(),
            )
        });
        if let Err(error) = added {
            // SAFETY: `kobject_init` gave us the first reference; it goes back here, which frees the object.
            unsafe { bindings::kobject_put(raw) };
            return Err(error);
        }
        // INVARIANT: The object was added, and the reference that `kobject_init` gave us is now this value's.
        Ok(Self {
            // SAFETY: `KBox::into_raw` does not return null.
            inner: unsafe { NonNull::new_unchecked(inner) },
        })
    }

    fn raw(&self) -> *mut bindings::kobject {
        self.inner.as_ptr().cast()
    }

    /// Tells user space of `event`. May sleep. Losing one is not an error the caller could act on.
    pub fn uevent(&self, event: Uevent) {
        let action = match event {
            Uevent::Add => bindings::kobject_action_KOBJ_ADD,
            Uevent::Change => bindings::kobject_action_KOBJ_CHANGE,
        };
        // SAFETY: By the type invariant the object is alive and in sysfs.
        unsafe { bindings::kobject_uevent(self.raw(), action) };
    }

    /// Adds the files of `group`. May sleep. `EEXIST` when one of them exists.
    pub fn add_group(&self, group: &'static Group<T>) -> Result {
        // SAFETY: By the type invariant the object is in sysfs; the group is static.
        to_result(unsafe { bindings::sysfs_create_group(self.raw(), group.as_raw()) })
    }

    /// Removes the files of `group`, waiting for their running functions: the caller must hold no lock that one of
    /// them takes. May sleep.
    pub fn remove_group(&self, group: &'static Group<T>) {
        // SAFETY: As for `add_group`; removing what is not there only warns.
        unsafe { bindings::sysfs_remove_group(self.raw(), group.as_raw()) };
    }

    /// Adds the files of `group` to the directory that another group of that name has made. May sleep. `ENOENT` without
    /// that, `EEXIST` when one of them exists.
    pub fn merge_group(&self, group: &'static Group<T>) -> Result {
        // SAFETY: By the type invariant the object is in sysfs; the group is static.
        to_result(unsafe { bindings::sysfs_merge_group(self.raw(), group.as_raw()) })
    }

    /// Removes the files of a group that was merged, and leaves the directory; waits as [`Kobject::remove_group`]. May
    /// sleep.
    pub fn unmerge_group(&self, group: &'static Group<T>) {
        // SAFETY: As for `merge_group`; what is not there is left alone.
        unsafe { bindings::sysfs_unmerge_group(self.raw(), group.as_raw()) };
    }

    /// The directory entry of the attribute called `name`, for notifications; `None` when there is none. May sleep.
    pub fn dirent(&self, name: &CStr) -> Option<Dirent> {
        // SAFETY: By the type invariant the object is in sysfs, so `sd` is its directory.
        unsafe { Dirent::find((*self.raw()).sd, name) }
    }

    /// Makes a symbolic link called `name` in this directory, to the directory of `target`. May sleep.
    pub fn add_link(&self, target: &impl AsKobject, name: &CStr) -> Result {
        // SAFETY: Both objects are alive; the name is only read.
        to_result(unsafe {
            bindings::sysfs_create_link(self.raw(), target.as_kobject().0, name.as_char_ptr())
        })
    }

    /// Removes the link called `name`, if it is there. May sleep.
    pub fn remove_link(&self, name: &CStr) {
        // SAFETY: By the type invariant the object is in sysfs.
        unsafe { bindings::sysfs_remove_link(self.raw(), name.as_char_ptr()) };
    }
}

impl<T: Payload> AsKobject for Kobject<T> {
    fn as_kobject(&self) -> RawKobject {
        RawKobject(self.raw())
    }
}

impl<T: Payload> Drop for Kobject<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the object is alive and in sysfs.
        unsafe { bindings::kobject_del(self.raw()) };
        // SAFETY: By the type invariant this value owns one reference, given back here.
        unsafe { bindings::kobject_put(self.raw()) };
    }
}
