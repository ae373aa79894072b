// SPDX-License-Identifier: Apache-2.0
//! `b2p.runtime=`: the OCI runtime that podman uses by default. It is written into podman's
//! defaults only where its program exists: podman does nothing at all with a default that it does
//! not find (containers/podman, libpod/runtime.go, `makeRuntime`).

use std::fs;
use std::path::{Path, PathBuf};

use sys::error::{Error, Result};

use crate::common::podman_defaults::{self, with_line};

/// Directories of programs, in the order in which one is taken.
const DIRS: &[&str] = &["/usr/local/bin", "/usr/local/sbin", "/usr/bin", "/usr/sbin"];
/// End of the line with the program's path.
const MARK: &str = "# of b2p.runtime";

/// Makes the runtime podman's default.
///
/// # Errors
/// The program does not exist, or podman's defaults cannot be changed.
pub fn apply(name: &str) -> Result<()> {
    let Some(program) = program(name) else {
        return Err(Error::invalid(format!(
            "b2p.runtime={name}: no program of this name; crun stays the default. Is its extension \
             in b2p.ext=?"
        )));
    };
    podman_defaults::edit(|text| with_runtime(text, name, &program.to_string_lossy()))
}

/// Returns the program of a runtime.
pub fn program(name: &str) -> Option<PathBuf> {
    let mut programs = DIRS.iter().map(|dir| Path::new(dir).join(name));
    programs.find(|program| program.is_file())
}

/// Returns "podman", in words, if its default runtime is a program of the image at `target`: podman starts no container
/// without it.
pub fn blocker(target: &Path) -> Option<String> {
    let name = sys::config_sources::read().0.runtime?;
    let program = fs::canonicalize(program(&name)?).ok()?;
    let is_of = program.starts_with(target);
    is_of.then(|| format!("podman, whose default runtime is {name} (b2p.runtime=)"))
}

/// Returns containers.conf(5) with this runtime in place of another one.
fn with_runtime(text: &str, name: &str, program: &str) -> String {
    let is_other = |line: &&str| !line.starts_with("runtime =") && !line.ends_with(MARK);
    let lines = text.lines().filter(is_other);
    let rest: String = lines.map(|line| format!("{line}\n")).collect();
    let text = with_line(&rest, "[engine]", &format!("runtime = \"{name}\""));
    let line = format!("{name} = [\"{program}\"] {MARK}");
    with_line(&text, "[engine.runtimes]", &line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_runtime_replaces_the_earlier_runtime() {
        let before = "[engine]\nruntime = \"crun\"\nevents_logger = \"file\"\n";
        let with = |name: &str| {
            format!(
                "[engine]\nruntime = \"{name}\"\nevents_logger = \"file\"\n[engine.runtimes]\n\
                 {name} = [\"/usr/bin/{name}\"] {MARK}\n"
            )
        };
        let once = with_runtime(before, "runc", "/usr/bin/runc");
        assert_eq!(once, with("runc"));
        assert_eq!(with_runtime(&once, "runc", "/usr/bin/runc"), once);
        assert_eq!(with_runtime(&once, "kata", "/usr/bin/kata"), with("kata"));
    }

    #[test]
    fn a_runtime_that_is_missing_is_named() {
        let refused = apply("no-such-runtime").map_err(|why| why.to_string());
        assert!(refused.is_err_and(|why| why.contains("b2p.runtime=no-such-runtime: no program")));
    }
}
