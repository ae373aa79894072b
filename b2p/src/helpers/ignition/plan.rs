// SPDX-License-Identifier: Apache-2.0
//! The document as a list of typed rows. Nothing is changed here: the same document gives the same
//! plan.

mod included;

use included::Included;
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

/// Parses a document. An item that is wrong or not supported is reported as an error and left out; the others are
/// applied.
///
/// # Errors
/// The document as a whole is no JSON, or of another version of the format.
pub fn parse(bytes: &[u8]) -> Result<(Plan, Diagnostics)> {
    parse_at(bytes, 0)
}

/// Parses a document that `depth` others include.
fn parse_at(bytes: &[u8], depth: usize) -> Result<(Plan, Diagnostics)> {
    let members = document::parse(bytes)?;
    let mut diagnostics = Diagnostics::default();
    let mut root = Object::root(&members);
    let ignition = root.object("ignition", &mut diagnostics);
    let included = header(ignition, depth, &mut diagnostics)?;
    if let Some(plan) = included.replace {
        return Ok((plan, diagnostics));
    }
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
    let plans = included.merge.into_iter().chain([plan]);
    let plan = plans.reduce(included::join).unwrap_or_default();
    Ok((plan, diagnostics))
}

/// Checks the version, and returns the documents that this one includes.
fn header(
    mut ignition: Object<'_>,
    depth: usize,
    diagnostics: &mut Diagnostics,
) -> Result<Included> {
    let version = ignition.text("version", diagnostics).unwrap_or_default();
    let minor = minor_version(version)?;
    if minor > NEWEST {
        diagnostics.failed(format_args!(
            "ignition.version: {version}: read as 3.{NEWEST}.0, the newest one that is known"
        ));
    }
    // Time limits of fetches, of which there are none.
    let _ = ignition.get("timeouts");
    let config = ignition.object("config", diagnostics);
    let included = Included::parse(config, depth, diagnostics);
    ignition.finish(diagnostics);
    Ok(included)
}

/// Returns the second number of a version of format 3.
fn minor_version(version: &str) -> Result<u32> {
    let mut numbers = version.split(['.', '-']).map(str::parse::<u32>);
    match (numbers.next(), numbers.next(), numbers.next()) {
        (Some(Ok(3)), Some(Ok(minor)), Some(Ok(_))) => Ok(minor),
        _ => Err(sys::error::Error::invalid(format!(
            "ignition.version: {version:?}: must be 3.0.0 to 3.{NEWEST}.0 (butane writes them)"
        ))),
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod unit_tests;
