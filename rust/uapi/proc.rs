// SPDX-License-Identifier: GPL-2.0

//! A text file below `/proc` whose readers can poll for changes.
//!
//! C headers: [`include/linux/proc_fs.h`](srctree/include/linux/proc_fs.h),
//! [`include/linux/seq_file.h`](srctree/include/linux/seq_file.h)

use super::events::Events;
use crate::bindings;
use core::{ffi::CStr, marker::PhantomData, ptr::NonNull};
use kernel::{error::from_result, ffi, prelude::*, seq_file::SeqFile, sync::Arc};

/// The contents of a file.
pub trait Contents: Send + Sync + 'static {
    /// Prints the whole text. Runs in the reading task and may sleep; it is called again with a larger buffer when the
    /// text did not fit.
    fn show(&self, out: &SeqFile) -> Result;

    /// What readers are told of by `POLLPRI`.
    fn events(&self) -> &Events;
}

/// A file below `/proc`. Dropping it removes the file: running reads end first, pollers are sent away.
///
/// # Invariants
///
/// `entry` is in `/proc` and its data pointer is `contents`.
pub struct File<T: Contents> {
    entry: NonNull<bindings::proc_dir_entry>,
    contents: Arc<T>,
}

// SAFETY: The entry belongs to procfs, which has its own locks; the contents are `Send` and `Sync`.
unsafe impl<T: Contents> Send for File<T> {}
// SAFETY: As above; there are no methods.
unsafe impl<T: Contents> Sync for File<T> {}

impl<T: Contents> File<T> {
    /// Creates `/proc/<name>`, readable by all. May sleep.
    pub fn create(name: &CStr, contents: Arc<T>) -> Result<Self> {
        // SAFETY: The name is only read, the operations are a promoted constant, and the contents live until the entry
        // is removed in `drop`.
        let entry = unsafe {
            bindings::proc_create_data(
                name.as_char_ptr(),
                0o444,
                core::ptr::null_mut(),
                &Vtable::<T>::PROC,
                Arc::as_ptr(&contents).cast_mut().cast(),
            )
        };
        // INVARIANT: As created; null means that it was not.
        Ok(Self {
            entry: NonNull::new(entry).ok_or(ENOMEM)?,
            contents,
        })
    }
}

impl<T: Contents> Drop for File<T> {
    fn drop(&mut self) {
        // A task that sleeps in poll() is on our wait queue without being inside an operation. It only goes when it is
        // told to by our own poll function: without the entry procfs answers, and not that something happened.
        self.contents.events().close();
        // SAFETY: By the type invariant the entry is in `/proc`. On return no operation of ours runs or will run.
        unsafe { bindings::proc_remove(self.entry.as_ptr().cast()) };
        // Those that came meanwhile were told at once.
        self.contents.events().close();
    }
}

/// The C side of files with contents `T`.
struct Vtable<T: Contents>(PhantomData<T>);

impl<T: Contents> Vtable<T> {
    const SEQ: bindings::seq_operations = bindings::seq_operations {
        start: Some(Self::start),
        next: Some(Self::next),
        stop: Some(Self::stop),
        show: Some(Self::show),
    };

    const PROC: bindings::proc_ops = {
        // SAFETY: `proc_ops` consists of a flag word and function pointers that may be null.
        let mut ops: bindings::proc_ops = unsafe { core::mem::zeroed() };
        ops.proc_open = Some(Self::open);
        ops.proc_read_iter = Some(bindings::seq_read_iter);
        ops.proc_lseek = Some(bindings::seq_lseek);
        ops.proc_release = Some(bindings::seq_release);
        ops.proc_poll = Some(Self::poll);
        ops
    };

    /// # Safety
    ///
    /// `m` must be a sequential file opened by `open`, used inside one of its operations.
    unsafe fn contents<'a>(m: *mut bindings::seq_file) -> &'a T {
        // SAFETY: `open` set `private` to the entry's data, which outlives every operation.
        unsafe { &*(*m).private.cast::<T>() }
    }

    /// # Safety
    ///
    /// Only for `proc_ops.proc_open` of an entry made by [`File::create`].
    unsafe extern "C" fn open(
        inode: *mut bindings::inode,
        file: *mut bindings::file,
    ) -> ffi::c_int {
        // SAFETY: procfs passes a file being opened; the operations are a promoted constant.
        let status = unsafe { bindings::seq_open(file, &Self::SEQ) };
        if status == 0 {
            // SAFETY: `seq_open` made the private data a sequential file; nobody else has it yet.
            unsafe {
                let m = (*file).private_data.cast::<bindings::seq_file>();
                (*m).private = (*inode).i_private;
                (*m).poll_event = Self::contents(m).events().count();
            }
        }
        status
    }

    /// # Safety
    ///
    /// Only for `seq_operations.start`.
    unsafe extern "C" fn start(
        m: *mut bindings::seq_file,
        pos: *mut bindings::loff_t,
    ) -> *mut ffi::c_void {
        // SAFETY: Called with the file's lock held, so both pointers are ours for the call.
        unsafe {
            if *pos == 0 {
                // Not at the end of the file: that would swallow what happened since the text was printed.
                (*m).poll_event = Self::contents(m).events().count();
                (*m).private
            } else {
                core::ptr::null_mut()
            }
        }
    }

    /// # Safety
    ///
    /// Only for `seq_operations.next`.
    unsafe extern "C" fn next(
        _m: *mut bindings::seq_file,
        _element: *mut ffi::c_void,
        pos: *mut bindings::loff_t,
    ) -> *mut ffi::c_void {
        // SAFETY: The position is ours for the call. There is one element.
        unsafe { *pos = (*pos).saturating_add(1) };
        core::ptr::null_mut()
    }

    /// # Safety
    ///
    /// Only for `seq_operations.stop`.
    unsafe extern "C" fn stop(_m: *mut bindings::seq_file, _element: *mut ffi::c_void) {}

    /// # Safety
    ///
    /// Only for `seq_operations.show`.
    unsafe extern "C" fn show(
        m: *mut bindings::seq_file,
        _element: *mut ffi::c_void,
    ) -> ffi::c_int {
        // SAFETY: Called with the file's lock held: nobody else uses it during the call.
        let out = unsafe { SeqFile::from_raw(m) };
        // SAFETY: Inside an operation of a file opened by `open`.
        let contents = unsafe { Self::contents(m) };
        from_result(|| contents.show(out).map(|()| 0))
    }

    /// # Safety
    ///
    /// Only for `proc_ops.proc_poll`.
    unsafe extern "C" fn poll(
        file: *mut bindings::file,
        table: *mut bindings::poll_table_struct,
    ) -> bindings::__poll_t {
        // SAFETY: Inside an operation of a file opened by `open`.
        let (seen, contents) = unsafe {
            let m = (*file).private_data.cast::<bindings::seq_file>();
            ((*m).poll_event, Self::contents(m))
        };
        // SAFETY: The file and the table are valid for the call.
        unsafe { contents.events().poll(file, table, seen) }
    }
}
