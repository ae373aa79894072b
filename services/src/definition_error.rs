// SPDX-License-Identifier: Apache-2.0
//! Reasons why a service cannot be in the table.

use std::fmt;

/// Reason why a definition cannot be added, or why a service of the first table can never start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefinitionError {
    /// The name belongs to a built-in service, or is reserved for a built-in service that this machine does not have.
    NameTaken,
    /// The user service of this name is not at rest.
    InUse,
    /// The table is full.
    TooManyServices,
    /// Too many definitions were added since the boot.
    TooManyChanges,
    /// The service would need itself, directly or indirectly.
    NeedsItself,
    /// The service would be ordered after itself, directly or indirectly.
    WaitsForItself,
    /// An earlier row of the table of built-in services has this name.
    DuplicateName,
    /// A revised definition of a built-in service has another name or other needs.
    OtherNeeds,
    /// The built-in services are complete: user services are in the table.
    TooLate,
}

impl fmt::Display for DefinitionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DefinitionError::NameTaken => {
                "a built-in service has this name, or may have: choose another name"
            }
            DefinitionError::InUse => "the service is in use: stop it first",
            DefinitionError::TooManyServices => "there are too many services",
            DefinitionError::TooManyChanges => {
                "1000 different definitions were loaded since the boot: restart the machine to load more"
            }
            DefinitionError::NeedsItself => "the service needs itself",
            DefinitionError::WaitsForItself => "the service is ordered after itself",
            DefinitionError::OtherNeeds => "the needs of a service cannot change",
            DefinitionError::DuplicateName => "another service has this name",
            DefinitionError::TooLate => "user services were already added",
        })
    }
}

impl std::error::Error for DefinitionError {}
