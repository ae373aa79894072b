// SPDX-License-Identifier: Apache-2.0
//! Syntax of a kernel's configuration (Documentation/kbuild/kconfig.rst), and the comparison of a
//! fragment with the resulting configuration.

use std::collections::BTreeMap;

use crate::arch::ARCHES;

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

/// Start of the comment above a group of options. A group of one architecture continues with its name and a colon.
const GROUP: &str = "# --- ";

/// Returns the groups of a fragment that are for every architecture, and those for this one.
pub fn for_arch(text: &str, arch: &str) -> String {
    let groups = text.split_inclusive("\n\n");
    groups.filter(|group| is_for(group, arch)).collect()
}

fn is_for(group: &str, arch: &str) -> bool {
    let title = group.strip_prefix(GROUP).unwrap_or_default();
    let name = title.split_once(": ").map(|(name, _)| name);
    let known = ARCHES.iter().find(|row| Some(row.name) == name);
    known.is_none_or(|row| row.name == arch)
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
    fn mismatches_lists_options_that_differ_from_the_fragment() {
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
    fn a_group_is_for_every_architecture_or_for_one() {
        let text = "# why\nCONFIG_A=y\n\n# --- x86_64: why.\nCONFIG_B=y\n\n# --- Disks: why.\nCONFIG_C=y\n\n\
                    # --- aarch64: why.\nCONFIG_D=y\n";
        let names = |arch| {
            parse(&for_arch(text, arch))
                .into_keys()
                .map(str::to_owned)
                .collect::<String>()
        };
        assert_eq!([names("x86_64"), names("aarch64")], ["ABC", "ACD"]);
    }

    fn name_of(line: &str) -> Option<&str> {
        let set = assignment(line).map(|(name, _)| name);
        set.or(not_set(line))
    }

    #[test]
    fn our_fragment_says_nothing_twice_and_every_group_says_why() {
        let text = include_str!("../../kernel/slim.config");
        for arch in ARCHES {
            let text = for_arch(text, arch.name);
            let mut names: Vec<_> = text.lines().filter_map(name_of).collect();
            assert!(names.len() > 300, "{}", names.len());
            names.sort_unstable();
            let twice = names.windows(2).find(|pair| pair[0] == pair[1]);
            assert_eq!(twice, None, "an option stands there twice");
        }
        for group in text.split("\n\n") {
            assert!(group.starts_with('#'), "no why: {group}");
        }
    }
}
