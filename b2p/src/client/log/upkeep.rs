// SPDX-License-Identifier: Apache-2.0
//! Options of journalctl(1) about the files of the log, which the service `syslog` keeps within a size
//! (docs/reference/log.md): nothing is left to remove, to rotate or to flush.

use std::path::Path;

use crate::client::version::AS_SYSTEMD;
use crate::common::log::format::oldest_first;
use crate::common::terminal::print_plain as print;
use crate::common::units;

/// Options without a record as their result, beside `--vacuum-…`.
const NOTHING: &[&str] = &[
    "--flush",
    "--relinquish-var",
    "--rotate",
    "--smart-relinquish-var",
    "--sync",
];

/// Returns the answer to a command line that asks for no records.
pub fn answer(args: &[String], dir: &Path) -> Option<String> {
    let has = |option: &str| args.iter().any(|arg| arg == option);
    let is_vacuum = args.iter().any(|arg| arg.starts_with("--vacuum-"));
    if has("--version") {
        return Some(format!("systemd {AS_SYSTEMD}\n"));
    }
    if has("--disk-usage") {
        let files = oldest_first(dir).into_iter();
        let sizes = files.filter_map(|path| Some(path.metadata().ok()?.len()));
        let size = units::bytes(sizes.sum());
        return Some(format!(
            "Archived and active journals take up {size} in the file system.\n"
        ));
    }
    let done = format!(
        "Vacuuming done, freed 0B of archived journals from {}.\n",
        dir.display()
    );
    match is_vacuum {
        true => Some(done),
        false => NOTHING.iter().any(|o| has(o)).then(String::new),
    }
}

/// Prints the answer to a command line that asks for no records; returns false if there is none.
pub fn is_answered(args: &[String]) -> bool {
    let answer = answer(args, Path::new(sys::paths::LOG_DIR));
    answer.inspect(|text| print(text)).is_some()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;

    #[test]
    fn options_of_journalctl_that_maintain_the_journal_have_an_answer() {
        let temp = Temp::new();
        std::fs::write(temp.path("log"), [0; 3 << 10]).unwrap();
        std::fs::write(temp.path("log.1"), [0; 1 << 10]).unwrap();
        let answer = |line: &str| {
            let args: Vec<String> = line.split(' ').map(str::to_owned).collect();
            answer(&args, temp.dir())
        };
        let usage = answer("--disk-usage").unwrap();
        assert!(usage.contains(&units::bytes(4 << 10)), "{usage}");
        assert!(
            answer("--rotate --vacuum-size=1M")
                .unwrap()
                .contains("freed 0B")
        );
        assert_eq!(answer("--flush"), Some(String::new()));
        assert!(answer("--version").unwrap().starts_with("systemd 257 "));
        assert_eq!(answer("-u web"), None);
    }
}
