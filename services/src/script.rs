// SPDX-License-Identifier: Apache-2.0
//! Check of a program for the line ends of Windows, in the child before execve(2): no step allocates, locks or panics.
#![expect(unsafe_code, reason = "system calls between fork and exec")]

use std::ffi::CStr;

use sys::script;

/// Returns true if the program is a file that the child may read, and is a script that was saved on Windows
/// ([`sys::script`]).
pub(crate) fn was_saved_on_windows(program: &CStr) -> bool {
    let mut head = [0u8; script::HEAD_BYTES];
    let flags = libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY;
    // SAFETY: a NUL-terminated path, a zeroed stat, which is a valid value, and a local buffer.
    let length = unsafe {
        let mut found: libc::stat = std::mem::zeroed();
        libc::stat(program.as_ptr(), &raw mut found);
        // The open of a device may have an effect.
        if found.st_mode & libc::S_IFMT != libc::S_IFREG {
            return false;
        }
        let fd = libc::open(program.as_ptr(), flags);
        libc::read(fd, head.as_mut_ptr().cast(), head.len())
    };
    let length = usize::try_from(length).unwrap_or(0);
    head.get(..length).is_some_and(script::was_saved_on_windows)
}
