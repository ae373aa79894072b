// SPDX-License-Identifier: Apache-2.0
//! Several errors of one step.

use sys::error::{Error, Result};

/// Returns an error that names all of `errors`, or `Ok` if there are none.
///
/// # Errors
/// At least one error was collected.
pub fn combine(errors: Vec<Error>) -> Result<()> {
    if errors.is_empty() {
        return Ok(());
    }
    let texts: Vec<String> = errors.iter().map(Error::to_string).collect();
    Err(Error::invalid(texts.join("; ")))
}
