// SPDX-License-Identifier: Apache-2.0
//! Unwinder without frames, in place of LLVM's libunwind, which rustc links on musl.
//!
//! With `panic=abort` nothing is ever unwound, and `init::crash` prints no backtrace. std's default panic hook could
//! print a backtrace, and links all code for that purpose (DWARF, zlib, a demangler, a C++ unwinder), which makes PID 1
//! 280 kB larger (of 680 kB). std reaches this code by one call, `_Unwind_Backtrace`, with the function that looks at a
//! frame. The `_Unwind_Backtrace` below never calls that function, so the link-time optimiser drops the rest.
//!
//! Every function of the ABI is defined here: if one were missing, the linker would take the object of libunwind that
//! defines them all. Functions that std does not call are dropped by the linker. If a later std uses another function,
//! the programs become larger again, and nothing else changes. With glibc this module is not compiled (`lib.rs`),
//! because glibc itself unwinds threads that end by pthread_exit(3).
//!
//! Names and types: the Itanium C++ ABI, "Exception Handling", 1.3 to 1.6, and the extensions in
//! GCC's `unwind.h`.
#![expect(unsafe_code, reason = "defines symbols that C calls by name")]
#![allow(non_snake_case, reason = "the names of the ABI")]

use std::ffi::{c_int, c_void};

/// Makes cargo link again when the linker script changes; the program does not contain the script.
const _: &[u8] = include_bytes!("../link.ld");

/// `_URC_END_OF_STACK`: there is no further frame.
const END_OF_STACK: c_int = 5;

/// `_Unwind_Context *`, of which none ever exists.
type Context = *mut c_void;
/// `struct _Unwind_Exception *`, of which none ever exists.
type Exception = *mut c_void;

/// Defines functions that walk over frames, of which there are none.
macro_rules! no_frames {
    ($($name:ident($($type:ty),*);)*) => { $(
        #[unsafe(no_mangle)]
        extern "C" fn $name($(_: $type),*) -> c_int {
            END_OF_STACK
        }
    )* };
}

/// Defines functions that read a value of a frame: zero, which no frame has.
macro_rules! no_answer {
    ($($name:ident($($type:ty),*);)*) => { $(
        #[unsafe(no_mangle)]
        extern "C" fn $name($(_: $type),*) -> usize {
            0
        }
    )* };
}

no_frames! {
    _Unwind_Backtrace(*const c_void, *mut c_void);
    _Unwind_RaiseException(Exception);
    _Unwind_ForcedUnwind(Exception, *const c_void, *mut c_void);
    _Unwind_Resume_or_Rethrow(Exception);
}

no_answer! {
    _Unwind_GetGR(Context, c_int);
    _Unwind_GetIP(Context);
    _Unwind_GetIPInfo(Context, *mut c_int);
    _Unwind_GetCFA(Context);
    _Unwind_GetLanguageSpecificData(Context);
    _Unwind_GetRegionStart(Context);
    _Unwind_GetDataRelBase(Context);
    _Unwind_GetTextRelBase(Context);
    _Unwind_FindEnclosingFunction(*mut c_void);
}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_SetGR(_: Context, _: c_int, _: usize) {}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_SetIP(_: Context, _: usize) {}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_DeleteException(_: Exception) {}

/// Continues an unwinding, which has never begun.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume(_: Exception) -> ! {
    std::process::abort()
}
