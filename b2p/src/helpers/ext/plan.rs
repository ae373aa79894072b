// SPDX-License-Identifier: Apache-2.0
//! Order in which extensions are added: an extension follows those that it needs. Pure.

use sys::error::{Doing, Error, Result};

/// Returns the extensions that are missing for `wanted`, itself last; each follows those that it needs.
/// `needs` returns the needs of one, or `None` if it is part of the root already.
///
/// # Errors
/// An extension does not exist, or needs itself through others.
pub fn order(
    wanted: &str,
    needs: &mut dyn FnMut(&str) -> Result<Option<Vec<String>>>,
) -> Result<Vec<String>> {
    let mut order = Vec::new();
    visit(wanted, &mut Vec::new(), &mut order, needs)?;
    Ok(order)
}

fn visit(
    name: &str,
    path: &mut Vec<String>,
    order: &mut Vec<String>,
    needs: &mut dyn FnMut(&str) -> Result<Option<Vec<String>>>,
) -> Result<()> {
    if order.iter().any(|known| known == name) {
        return Ok(());
    }
    if let Some(at) = path.iter().position(|known| known == name) {
        let circle = path.get(at..).unwrap_or_default().join(", which needs ");
        return Err(Error::invalid(format!(
            "{circle}, which needs {name}: none of them can be the first"
        )));
    }
    let found = match path.last() {
        Some(by) => needs(name).doing(format!("{by} needs the extension {name}"))?,
        None => needs(name)?,
    };
    let Some(found) = found else { return Ok(()) };
    path.push(name.to_owned());
    for need in found {
        visit(&need, path, order, needs)?;
    }
    path.pop();
    order.push(name.to_owned());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::testing::why;

    fn needs(name: &str) -> Result<Option<Vec<String>>> {
        let needs: &[&str] = match name {
            "a" => &["b", "c"],
            "b" => &["d"],
            "c" => &["d", "added"],
            "d" => &[],
            "added" => return Ok(None),
            "x" => &["y"],
            "y" => &["z"],
            "z" => &["y"],
            "self" => &["self"],
            "lost" => &["b", "none"],
            _ => return Err(Error::invalid("no such extension")),
        };
        Ok(Some(needs.iter().map(|n| (*n).to_owned()).collect()))
    }

    #[test]
    fn needs_come_first_and_once() {
        assert_eq!(
            order("a", &mut needs),
            Ok(["d", "b", "c", "a"].map(str::to_owned).to_vec())
        );
        assert_eq!(order("added", &mut needs), Ok(vec![]));
    }

    #[test]
    fn a_circle_and_what_is_missing_are_named() {
        for (name, reason) in [
            ("x", "y, which needs z, which needs y: none of them"),
            ("self", "self, which needs self: none of them"),
            ("lost", "lost needs the extension none: no such extension"),
            ("none", "no such extension"),
        ] {
            assert!(why(order(name, &mut needs)).contains(reason), "{name}");
        }
    }
}
