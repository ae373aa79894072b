// SPDX-License-Identifier: Apache-2.0
//! Limit of open files of a program that keeps one for each of many processes.
#![expect(
    unsafe_code,
    reason = "nix has no wrapper for prlimit(2) without a feature more"
)]

use nix::errno::Errno;

/// Raises the soft limit to the hard one; programs that are started later inherit the limit.
///
/// # Errors
/// The errno of prlimit(2).
pub fn raise() -> nix::Result<()> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the kernel writes one rlimit to the address.
    Errno::result(unsafe {
        libc::prlimit(0, libc::RLIMIT_NOFILE, std::ptr::null(), &raw mut limit)
    })?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the kernel reads one rlimit.
    Errno::result(unsafe {
        libc::prlimit(
            0,
            libc::RLIMIT_NOFILE,
            &raw const limit,
            std::ptr::null_mut(),
        )
    })
    .map(drop)
}
