// SPDX-License-Identifier: GPL-2.0

//! Module parameters that can be read and written at run time, and such as run a command.
//!
//! C header: [`include/linux/moduleparam.h`](srctree/include/linux/moduleparam.h)

use crate::bindings;
use core::ffi::CStr;
use kernel::{
    error::from_result,
    ffi,
    prelude::*,
    str::as_char_ptr_in_const_context,
    sync::atomic::{Atomic, Relaxed},
};

/// One entry of the module's parameter table.
#[repr(transparent)]
pub struct Entry(bindings::kernel_param);

// SAFETY: The table is read-only for us; the module loader serialises access to what it points at.
unsafe impl Sync for Entry {}

/// An integer: decimal, octal or hexadecimal, as `kstrtoint` with base 0 reads it.
#[repr(transparent)]
pub struct Int(Atomic<i32>);

impl Int {
    /// A parameter that starts with `value`.
    pub const fn new(value: i32) -> Self {
        Self(Atomic::new(value))
    }

    /// The current value.
    #[inline]
    pub fn get(&self) -> i32 {
        self.0.load(Relaxed)
    }

    pub(crate) const fn as_ptr(&self) -> *mut ffi::c_void {
        core::ptr::from_ref(self).cast_mut().cast()
    }

    /// The entry of this parameter in the module's table.
    pub const fn entry(&'static self, name: &'static CStr, mode: u16) -> Entry {
        entry(
            name,
            mode,
            &raw const bindings::param_ops_int,
            self.as_ptr(),
        )
    }
}

/// A boolean: `kstrtobool`.
#[repr(transparent)]
pub struct Bool(Atomic<bool>);

impl Bool {
    /// A parameter that starts with `value`.
    pub const fn new(value: bool) -> Self {
        Self(Atomic::new(value))
    }

    /// The current value.
    #[inline]
    pub fn get(&self) -> bool {
        self.0.load(Relaxed)
    }

    /// The entry of this parameter in the module's table.
    pub const fn entry(&'static self, name: &'static CStr, mode: u16) -> Entry {
        entry(
            name,
            mode,
            &raw const bindings::param_ops_bool,
            core::ptr::from_ref(self).cast_mut().cast(),
        )
    }
}

/// An integer whose text a function of ours reads.
///
/// # Invariants
///
/// `value` is the first field: a pointer to the whole is one to an `int`, as `param_get_int` wants it.
#[repr(C)]
pub struct Number {
    value: Atomic<i32>,
    parse: fn(&[u8]) -> Result<i32>,
}

impl Number {
    /// A parameter that starts with `value`. What is written, which may end with a newline, goes to `parse` in task
    /// context with the module's parameter lock held; an error of that leaves the value as it was.
    pub const fn new(value: i32, parse: fn(&[u8]) -> Result<i32>) -> Self {
        // INVARIANT: As declared.
        Self {
            value: Atomic::new(value),
            parse,
        }
    }

    /// The current value.
    #[inline]
    pub fn get(&self) -> i32 {
        self.value.load(Relaxed)
    }

    const OPS: bindings::kernel_param_ops = bindings::kernel_param_ops {
        flags: 0,
        set: Some(Self::set),
        get: Some(bindings::param_get_int),
        free: None,
    };

    /// The entry of this parameter in the module's table.
    pub const fn entry(&'static self, name: &'static CStr, mode: u16) -> Entry {
        entry(
            name,
            mode,
            &Self::OPS,
            core::ptr::from_ref(self).cast_mut().cast(),
        )
    }

    /// # Safety
    ///
    /// Only for `kernel_param_ops.set` of an entry made by [`Number::entry`].
    unsafe extern "C" fn set(
        text: *const ffi::c_char,
        param: *const bindings::kernel_param,
    ) -> ffi::c_int {
        let store = |this: &Self, text: &[u8]| {
            this.value.store((this.parse)(text)?, Relaxed);
            Ok(())
        };
        // SAFETY: By the precondition this is `set` of a `Number`.
        unsafe { written(text, param, store) }
    }
}

/// What `kernel_param_ops.set` does for parameters whose text a function of ours reads: gives it to `take`. `EINVAL`
/// when there is none.
///
/// # Safety
///
/// To be called by `set` with what that was given, for an entry whose `arg` is a static `T`.
unsafe fn written<T: 'static>(
    text: *const ffi::c_char,
    param: *const bindings::kernel_param,
    take: impl FnOnce(&T, &[u8]) -> Result,
) -> ffi::c_int {
    from_result(|| {
        if text.is_null() {
            return Err(EINVAL);
        }
        // SAFETY: The module loader passes a terminated string.
        let text = unsafe { <CStr as kernel::str::CStrExt>::from_char_ptr(text) };
        // SAFETY: By the precondition.
        let this = unsafe { &*(*param).__bindgen_anon_1.arg.cast::<T>() };
        take(this, text.to_bytes())?;
        Ok(0)
    })
}

/// A parameter that has no value: writing it runs a function.
pub struct Command {
    run: fn(&[u8]) -> Result,
}

impl Command {
    /// A parameter whose write calls `run` with the text as written (it may end with a newline), in task context with
    /// the module's parameter lock held.
    pub const fn new(run: fn(&[u8]) -> Result) -> Self {
        Self { run }
    }

    const OPS: bindings::kernel_param_ops = bindings::kernel_param_ops {
        flags: 0,
        set: Some(Self::set),
        get: None,
        free: None,
    };

    /// The entry of this parameter in the module's table.
    pub const fn entry(&'static self, name: &'static CStr, mode: u16) -> Entry {
        entry(
            name,
            mode,
            &Self::OPS,
            core::ptr::from_ref(self).cast_mut().cast(),
        )
    }

    /// # Safety
    ///
    /// Only for `kernel_param_ops.set` of an entry made by [`Command::entry`].
    unsafe extern "C" fn set(
        text: *const ffi::c_char,
        param: *const bindings::kernel_param,
    ) -> ffi::c_int {
        // SAFETY: By the precondition this is `set` of a `Command`.
        unsafe { written(text, param, |this: &Self, text| (this.run)(text)) }
    }
}

const fn entry(
    name: &'static CStr,
    mode: u16,
    ops: *const bindings::kernel_param_ops,
    arg: *mut ffi::c_void,
) -> Entry {
    Entry(bindings::kernel_param {
        name: as_char_ptr_in_const_context(name),
        mod_: (&raw const bindings::__this_module).cast_mut(),
        ops,
        perm: mode,
        level: -1,
        flags: 0,
        __bindgen_anon_1: bindings::kernel_param__bindgen_ty_1 { arg },
    })
}

/// Copies a string to an array, for the module's information section.
#[doc(hidden)]
pub const fn modinfo<const N: usize>(text: &str) -> [u8; N] {
    let text = text.as_bytes();
    let mut bytes = [0; N];
    let mut i = 0;
    while i < text.len() && i < N {
        bytes[i] = text[i];
        i += 1;
    }
    bytes
}

/// Puts parameters in the module's table: `name: type, mode, static, "description";`.
///
/// To be used once, in the crate that has `module!`; the type is the word that `modinfo` prints.
#[macro_export]
macro_rules! module_params {
    ($($name:ident: $type:literal, $mode:literal, $value:path, $description:literal;)*) => {$(
        #[allow(non_upper_case_globals, unsafe_code)]
        const _: () = {
            #[link_section = "__param"]
            #[used]
            static ENTRY: $crate::params::Entry = $value.entry(
                match core::ffi::CStr::from_bytes_with_nul(
                    concat!(stringify!($name), "\0").as_bytes()
                ) {
                    Ok(name) => name,
                    Err(_) => panic!("a parameter's name has no NUL"),
                },
                $mode,
            );
            const TYPE: &str = concat!("parmtype=", stringify!($name), ":", $type, "\0");
            #[link_section = ".modinfo"]
            #[used]
            static TYPE_INFO: [u8; TYPE.len()] = $crate::params::modinfo(TYPE);
            const TEXT: &str = concat!("parm=", stringify!($name), ":", $description, "\0");
            #[link_section = ".modinfo"]
            #[used]
            static TEXT_INFO: [u8; TEXT.len()] = $crate::params::modinfo(TEXT);
        };
    )*};
}
