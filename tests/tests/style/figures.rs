// SPDX-License-Identifier: Apache-2.0
//! Figures of the README that the source decides.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::files_of_kind;

/// Folders of PID 1 and its libraries.
const PID1: &[&str] = &["init", "config", "control", "services", "sys"];

/// Number of lines with code in front of the tests of a file.
fn code_lines(text: &str) -> usize {
    let code = text.lines().map(str::trim);
    let code = code.take_while(|line| *line != "#[cfg(test)]");
    code.filter(|line| !line.is_empty() && !line.starts_with("//"))
        .count()
}

#[test]
fn the_readme_has_the_size_of_pid_1() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut lines = 0;
    for folder in PID1 {
        for path in files_of_kind(&root.join(folder).join("src"), ".rs")? {
            let name = path.strip_prefix(&root)?.to_string_lossy();
            if !name.ends_with("tests.rs") && !name.contains("/tests/") {
                lines += code_lines(&fs::read_to_string(&path)?);
            }
        }
    }
    let readme = fs::read_to_string(root.join("README.md"))?;
    let words: Vec<&str> = readme.split_whitespace().collect();
    let sentence = words
        .windows(4)
        .find(|w| w[1..] == ["lines", "of", "code."]);
    let figure = sentence.context("no figure in README.md")?[0].replace(',', "");
    let figure: usize = figure.parse().context(figure)?;
    let is_right = lines.abs_diff(figure) < lines / 20;
    ensure!(is_right, "README.md: {figure} lines, there are {lines}");
    Ok(())
}
