// SPDX-License-Identifier: Apache-2.0
//! The document as a list of typed rows. Nothing is changed here: the same document gives the same
//! plan.

use sys::error::Result;

use super::document::{self, Object};
use super::storage::{self, Storage};
use super::units::{self, Unit};
use super::users::{self, Accounts};
use crate::helpers::cloud::diagnostics::Diagnostics;

/// Greatest minor version of format 3 that is known.
const NEWEST: u32 = 5;

/// Rows of a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Users and groups.
    pub accounts: Accounts,
    /// Directories, files and links.
    pub storage: Storage,
    /// Units of systemd.
    pub units: Vec<Unit>,
}

/// Parses a document. Each item that is wrong or not supported is named, and the others count.
///
/// # Errors
/// The document as a whole is no JSON, or of another version of the format.
pub fn parse(bytes: &[u8]) -> Result<(Plan, Diagnostics)> {
    let members = document::parse(bytes)?;
    let mut diagnostics = Diagnostics::default();
    let mut root = Object::root(&members);
    let ignition = root.object("ignition", &mut diagnostics);
    check_header(ignition, &mut diagnostics)?;
    let accounts = users::parse(root.object("passwd", &mut diagnostics), &mut diagnostics);
    let storage = storage::parse(root.object("storage", &mut diagnostics), &mut diagnostics);
    let systemd = root.object("systemd", &mut diagnostics);
    let units = units::parse(systemd, &mut diagnostics);
    root.finish(&mut diagnostics);
    let plan = Plan {
        accounts,
        storage,
        units,
    };
    Ok((plan, diagnostics))
}

/// Checks the version, and names settings of a document that gets others from the network.
fn check_header(mut ignition: Object<'_>, diagnostics: &mut Diagnostics) -> Result<()> {
    let version = ignition.text("version", diagnostics).unwrap_or_default();
    let minor = minor_version(version)?;
    if minor > NEWEST {
        diagnostics.failed(format_args!(
            "ignition.version: {version}: read as 3.{NEWEST}.0, the newest one that is known"
        ));
    }
    // Time limits of fetches, of which there are none.
    let _ = ignition.get("timeouts");
    ignition.finish(diagnostics);
    Ok(())
}

/// Returns the second number of a version of format 3.
fn minor_version(version: &str) -> Result<u32> {
    let mut numbers = version.split(['.', '-']).map(str::parse::<u32>);
    match (numbers.next(), numbers.next(), numbers.next()) {
        (Some(Ok(3)), Some(Ok(minor)), Some(Ok(_))) => Ok(minor),
        _ => Err(sys::error::Error::invalid(format!(
            "ignition.version: {version:?}: 3.0.0 to 3.{NEWEST}.0 are right (butane writes them)"
        ))),
    }
}

#[cfg(test)]
mod tests;
