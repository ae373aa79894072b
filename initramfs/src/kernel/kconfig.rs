// SPDX-License-Identifier: Apache-2.0
//! Syntax of a kernel's configuration (Documentation/kbuild/kconfig.rst), and the comparison of a
//! fragment with the resulting configuration.

use std::collections::BTreeMap;

/// Returns the options by name, without `CONFIG_`; options that are off have no entry.
pub fn parse(text: &str) -> BTreeMap<&str, &str> {
    text.lines().filter_map(assignment).collect()
}

/// Parses `CONFIG_NAME=value`.
fn assignment(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("CONFIG_")?.split_once('=')
}

/// Parses `# CONFIG_NAME is not set`.
fn not_set(line: &str) -> Option<&str> {
    line.strip_prefix("# CONFIG_")?.strip_suffix(" is not set")
}

/// Returns a message for each line of `fragment` that does not hold in `config`.
pub fn mismatches(fragment: &str, config: &str) -> Vec<String> {
    let options = parse(config);
    let mut mismatches = Vec::new();
    for line in fragment.lines() {
        let requested = assignment(line).or(not_set(line).map(|name| (name, "n")));
        let Some((name, value)) = requested else {
            continue;
        };
        let actual = options.get(name).copied().unwrap_or("n");
        if actual != value {
            mismatches.push(format!("CONFIG_{name} should be {value} and is {actual}"));
        }
    }
    mismatches
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "#\n# Automatically generated\n#\nCONFIG_A=y\nCONFIG_N=256\n\
                          CONFIG_S=\"a b\"\n# CONFIG_B is not set\nCONFIG_M=m\n";

    #[test]
    fn what_holds_and_what_does_not() {
        let holds = "# why\nCONFIG_A=y\nCONFIG_N=256\nCONFIG_S=\"a b\"\n\
                     # CONFIG_B is not set\n# CONFIG_GONE is not set\n";
        assert_eq!(mismatches(holds, CONFIG), [""; 0]);
        let other = "CONFIG_B=y\nCONFIG_NEW=y\n# CONFIG_A is not set\nCONFIG_M=y\n";
        assert_eq!(
            mismatches(other, CONFIG),
            [
                "CONFIG_B should be y and is n",
                "CONFIG_NEW should be y and is n",
                "CONFIG_A should be n and is y",
                "CONFIG_M should be y and is m",
            ]
        );
    }

    #[test]
    fn our_fragment_says_nothing_twice_and_every_group_says_why() {
        let text = include_str!("../../kernel/slim.config");
        let name = |line| assignment(line).map(|(name, _)| name).or(not_set(line));
        let mut names: Vec<_> = text.lines().filter_map(name).collect();
        assert!(names.len() > 300, "{}", names.len());
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count, "an option stands there twice");
        for group in text.split("\n\n") {
            assert!(group.starts_with('#'), "no why: {group}");
        }
    }
}
