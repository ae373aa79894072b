// SPDX-License-Identifier: Apache-2.0
//! Order in which extensions are added, those that one needs first, and removed, those last. Pure.

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

/// Returns the extensions in the order in which they are removed: each comes before those that it needs. `needs` has
/// pairs of an added extension and of one that it needs.
pub fn removal<'a>(names: &[&'a str], needs: &[(String, String)]) -> Vec<&'a str> {
    let mut left = names.to_vec();
    let mut order = Vec::new();
    while !left.is_empty() {
        let is_needed = |name: &&str| {
            let by = |(other, need): &(String, String)| need == name && left.contains(&&**other);
            needs.iter().any(by)
        };
        // In a circle, which no addition makes, the first one comes first.
        let next = left.iter().position(|name| !is_needed(name)).unwrap_or(0);
        order.push(left.remove(next));
    }
    order
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
    fn a_needed_extension_is_removed_last() {
        let pairs = [("a", "b"), ("b", "d"), ("x", "d"), ("y", "y")];
        let needs = pairs.map(|(other, need)| (other.to_owned(), need.to_owned()));
        assert_eq!(removal(&["d", "b", "a"], &needs), ["a", "b", "d"]);
        assert_eq!(removal(&["d", "none"], &needs), ["d", "none"]);
        assert_eq!(removal(&["y", "y", "d"], &needs), ["d", "y", "y"]);
        assert!(removal(&[], &needs).is_empty());
    }

    #[test]
    fn circular_and_missing_needs_are_named() {
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
