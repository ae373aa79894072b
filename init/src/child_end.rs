// SPDX-License-Identifier: Apache-2.0
//! End of a child of PID 1 that belongs to no service.

/// End of a child that belongs to no service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildEnd {
    /// The child has ended with status 0.
    Succeeded,
    /// The child has ended in any other way.
    Failed,
    /// The child has not ended.
    Running,
}

impl ChildEnd {
    /// Returns the end of a child that has ended.
    #[must_use]
    pub fn of(succeeded: bool) -> ChildEnd {
        match succeeded {
            true => ChildEnd::Succeeded,
            false => ChildEnd::Failed,
        }
    }
}
