// SPDX-License-Identifier: Apache-2.0
//! `cargo run -p podman-machine --example pages -- DIR`: writes the manual pages and the completions
//! of `podman-machine` to their places below DIR, as in /usr/share. `make install` runs this program.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap_complete::Shell;

/// Name of the program.
const NAME: &str = "podman-machine";
/// Directory of each shell's completions below /usr/share.
const COMPLETIONS: &[(Shell, &str)] = &[
    (Shell::Bash, "bash-completion/completions"),
    (Shell::Zsh, "zsh/site-functions"),
    (Shell::Fish, "fish/vendor_completions.d"),
    (Shell::Elvish, "elvish/lib"),
    (Shell::PowerShell, "powershell/completions"),
];

fn main() -> Result<()> {
    let dir = std::env::args_os().nth(1);
    let dir = PathBuf::from(dir.context("usage: pages DIR")?);
    let manual = dir.join("man/man1");
    fs::create_dir_all(&manual)?;
    clap_mangen::generate_to(machine::cli::parser(), &manual)?;
    for (shell, place) in COMPLETIONS {
        let place = dir.join(place);
        fs::create_dir_all(&place)?;
        clap_complete::generate_to(*shell, &mut machine::cli::parser(), NAME, &place)?;
    }
    // bash-completion loads a file by the name of the command alone.
    let bash = dir.join(COMPLETIONS[0].1);
    fs::rename(bash.join("podman-machine.bash"), bash.join(NAME))?;
    Ok(())
}
