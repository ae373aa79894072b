//! Whether podman could read a file of containers-registries.conf(5): it refuses to pull
//! anything while one of them is not to its liking.

use serde::Deserialize;

/// What podman's own parser has (go.podman.io/image, sysregistriesv2); the rest it
/// ignores. Only the types matter here.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(dead_code, reason = "their types are what is checked")]
struct File {
    unqualified_search_registries: Option<Vec<String>>,
    credential_helpers: Option<Vec<String>>,
    short_name_mode: Option<String>,
    registry: Option<Vec<Registry>>,
    aliases: Option<std::collections::BTreeMap<String, String>>,
    /// The format before 2018, which does not go together with this one.
    registries: Option<toml::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(dead_code, reason = "their types are what is checked")]
struct Registry {
    prefix: Option<String>,
    location: Option<String>,
    insecure: Option<bool>,
    blocked: Option<bool>,
    mirror_by_digest_only: Option<bool>,
    mirror: Option<Vec<Mirror>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(dead_code, reason = "their types are what is checked")]
struct Mirror {
    location: String,
    insecure: Option<bool>,
    pull_from_mirror: Option<String>,
}

/// Reads it as podman would.
///
/// # Errors
/// What podman would refuse it for, with the line.
pub fn check(text: &str) -> Result<(), String> {
    let file: File = toml::from_str(text).map_err(|e| at(text, &e))?;
    let modes = ["", "enforcing", "permissive", "disabled"];
    let mode = file.short_name_mode.unwrap_or_default();
    if !modes.contains(&mode.as_str()) {
        return Err(format!(
            "short-name-mode: {mode:?} is not enforcing, permissive or disabled"
        ));
    }
    if file.registries.is_some() {
        return Err("[registries] is the old format: a [[registry]] for each is right".into());
    }
    for (name, image) in file.aliases.iter().flatten() {
        let last = image.rsplit('/').next().unwrap_or_default();
        if last.contains([':', '@']) {
            return Err(format!("aliases: {name}: {image} has a tag or a digest"));
        }
    }
    file.registry.iter().flatten().try_for_each(one)
}

/// A host and perhaps a path, as podman wants both of a registry and of its mirrors.
fn one(registry: &Registry) -> Result<(), String> {
    let text = |t: &Option<String>| t.clone().unwrap_or_default();
    let (prefix, location) = (text(&registry.prefix), text(&registry.location));
    if prefix.is_empty() && location.is_empty() {
        return Err("a [[registry]] has neither prefix nor location".into());
    }
    if location.is_empty() && !prefix.starts_with("*.") {
        return Err(format!("the [[registry]] of {prefix} has no location"));
    }
    let mirrors = registry.mirror.iter().flatten().map(|m| m.location.clone());
    let mut all = [prefix, location].into_iter().chain(mirrors);
    match all.find(|l| l.contains("://")) {
        Some(l) => Err(format!("{l}: without http://; insecure = true says that")),
        None => Ok(()),
    }
}

/// What is wrong with a text of TOML, in one line.
pub fn at(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|s| text.get(..s.start));
    let line = before.map_or(0, |t| t.matches('\n').count()) + 1;
    format!("line {line}: {}", error.message().replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_podman_takes() {
        let good = "unqualified-search-registries = ['quay.io']\nshort-name-mode = \"permissive\"\n\
             [[registry]]\nprefix = '*.example.org'\nlocation = 'box:5000'\ninsecure = true\n\
             [[registry.mirror]]\nlocation = 'mirror:5000/x'\n[aliases]\n'a' = 'b/a'\n";
        assert_eq!(check(good), Ok(()));
        assert_eq!(check(""), Ok(()));
    }

    #[test]
    fn what_it_does_not() {
        for (bad, why) in [
            ("[[registry]\n", "line 1"),
            ("\n[[registry]]\nlocation = 5\n", "line 3"),
            ("[[registry]]\ninsecure = true\n", "neither"),
            ("short-name-mode = 'maybe'", "maybe"),
            (
                "[[registry]]\nlocation = 'http://a:5000'\n",
                "without http://",
            ),
            ("[[registry]]\nprefix = 'a'\n", "no location"),
            ("[registries.search]\nregistries = ['a']\n", "old format"),
            ("[aliases]\na = 'b/a:1'\n", "tag"),
            (
                "[[registry]]\nlocation='a'\n[[registry.mirror]]\ninsecure=true",
                "location",
            ),
        ] {
            let said = check(bad).err().unwrap_or_default();
            assert!(said.contains(why), "{bad}: {said}");
        }
    }
}
