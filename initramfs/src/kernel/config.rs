//! The language of a kernel's configuration: what a text asks for, and whether it holds
//! (Documentation/kbuild/kconfig.rst).

use std::collections::BTreeMap;

/// Options by name, without `CONFIG_`; what is off has no entry.
pub fn parse(text: &str) -> BTreeMap<&str, &str> {
    let mut options = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, value)) = assignment(line) {
            options.insert(name, value);
        }
    }
    options
}

fn assignment(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("CONFIG_")?.split_once('=')
}

fn off(line: &str) -> Option<&str> {
    line.strip_prefix("# CONFIG_")?.strip_suffix(" is not set")
}

/// What `fragment` asks for and `config` has not, each as `NAME=y, and is n`.
pub fn lost(fragment: &str, config: &str) -> Vec<String> {
    let options = parse(config);
    let is = |name| options.get(name).copied().unwrap_or("n");
    let mut lost = Vec::new();
    for line in fragment.lines() {
        let wanted = assignment(line).or(off(line).map(|name| (name, "n")));
        let Some((name, value)) = wanted else {
            continue;
        };
        if is(name) != value {
            lost.push(format!(
                "CONFIG_{name} should be {value} and is {}",
                is(name)
            ));
        }
    }
    lost
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
        assert_eq!(lost(holds, CONFIG), [""; 0]);
        let asked = "CONFIG_B=y\nCONFIG_NEW=y\n# CONFIG_A is not set\nCONFIG_M=y\n";
        assert_eq!(
            lost(asked, CONFIG),
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
        let mut names: Vec<_> = text
            .lines()
            .filter_map(|l| assignment(l).map(|(name, _)| name).or(off(l)))
            .collect();
        assert!(names.len() > 300, "{}", names.len());
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all, "an option stands there twice");
        for group in text.split("\n\n") {
            assert!(group.starts_with('#'), "no why: {group}");
        }
    }
}
