// SPDX-License-Identifier: Apache-2.0
//! Exit statuses by which helpers report to PID 1.

/// Exit status by which a helper reports that another start is of no use (`EX_CONFIG` of sysexits.h).
/// The row of the helper in the table of services declares the status final.
pub const EX_CONFIG: u8 = 78;
