// SPDX-License-Identifier: Apache-2.0
//! Style of every Rust file of the repository: a licence line, doc comments that name their
//! subject, bounded lengths of files and functions, and imports without circles. Links of every page of the documentation,
//! and figures.

mod figures;
mod imports;
mod links;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

const LICENCE: &str = "// SPDX-License-Identifier: Apache-2.0";
const MAX_FILE_LINES: usize = 400;
const MAX_FUNCTION_LINES: usize = 40;
/// Maximum for functions that are a table: at least half of their lines end with a comma, as the rows of a match, the
/// fields of a literal and the elements of a list do.
const MAX_TABLE_LINES: usize = 50;
/// Maximum for functions below `mod tests`, which are scenarios and tables.
const MAX_TEST_LINES: usize = 60;

/// Openings of a paragraph that hide its subject: pronouns and function words.
#[rustfmt::skip]
const OPENINGS: &[&str] = &[
    "It", "Its", "This", "That", "These", "Those", "They", "He", "Who", "Whom", "Whose", "What",
    "Which", "Where", "When", "Whether", "Why", "How", "Of", "Or", "And", "But", "Else", "So", "If",
    "Only", "The same", "Such", "There", "Then", "Both", "Each other's", "As", "To", "Not",
    "No more", "Nothing", "Everything that", "Something",
];

#[test]
fn every_file_follows_the_style() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut faults = Vec::new();
    let mut files = 0;
    for path in files_of_kind(&root, ".rs")? {
        let name = path.strip_prefix(&root)?.to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).with_context(|| format!("read {name}"))?;
        files += 1;
        // The functions of tests are scenarios and tables, whose length depends on the tested
        // behaviour.
        let is_test = name.contains("/tests/") || name.ends_with("tests.rs");
        let mut found = faults_of(&text);
        if !is_test {
            found.extend(long_functions(&text));
        }
        let located = |(line, fault)| format!("{name}:{line}: {fault}");
        faults.extend(found.into_iter().map(located));
    }
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    println!("{files} files follow the style");
    Ok(())
}

#[test]
fn every_manifest_names_its_licence() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for path in files_of_kind(&root, ".toml")? {
        let text = fs::read_to_string(&path)?;
        let is_named = text.starts_with("# SPDX-License-Identifier: Apache-2.0\n");
        ensure!(is_named, "{}: no SPDX line", path.display());
    }
    Ok(())
}

/// Directories of build products, which may hold other projects' sources.
const BUILT: &[&str] = &["target", "out"];

/// Returns every file below `dir` whose name has this end, without the products of builds.
fn files_of_kind(dir: &Path, end: &str) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && !path.is_symlink() && !BUILT.contains(&&*name) && !name.starts_with('.')
        {
            files.extend(files_of_kind(&path, end)?);
        } else if name.ends_with(end) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Returns the faults of one file, each with its line number.
fn faults_of(text: &str) -> Vec<(usize, String)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut faults = Vec::new();
    if lines.first() != Some(&LICENCE) {
        faults.push((1, format!("does not begin with `{LICENCE}`")));
    }
    if lines.len() > MAX_FILE_LINES {
        faults.push((
            1,
            format!("has {} lines, not {MAX_FILE_LINES} at most", lines.len()),
        ));
    }
    faults.extend(vague_paragraphs(&lines));
    faults
}

/// Returns the paragraphs of doc comments that open with one of [`OPENINGS`].
fn vague_paragraphs(lines: &[&str]) -> Vec<(usize, String)> {
    let mut faults = Vec::new();
    let mut in_paragraph = false;
    let mut in_code = false;
    for (number, line) in (1..).zip(lines) {
        let line = line.trim_start();
        let doc = line.strip_prefix("///").or(line.strip_prefix("//!"));
        let Some(text) = doc.map(str::trim) else {
            (in_paragraph, in_code) = (false, false);
            continue;
        };
        let opens = !in_paragraph && !in_code;
        if opens && OPENINGS.iter().any(|opening| begins_with(text, opening)) {
            faults.push((number, format!("names no subject: {text}")));
        }
        in_code ^= text.starts_with("```");
        // A heading, such as `# Errors`, ends with its line.
        in_paragraph = !text.is_empty() && !text.starts_with("# ");
    }
    faults
}

fn begins_with(text: &str, opening: &str) -> bool {
    let rest = text.strip_prefix(opening);
    rest.is_some_and(|rest| !rest.starts_with(|next: char| next.is_alphanumeric()))
}

/// Returns the functions of more than [`MAX_FUNCTION_LINES`], [`MAX_TABLE_LINES`] or, below `mod tests`, [`MAX_TEST_LINES`].
/// rustfmt(1) puts the closing brace below its `fn`.
fn long_functions(text: &str) -> Vec<(usize, String)> {
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines.iter().position(|line| *line == "mod tests {");
    let mut faults = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let indent = &line[..line.len() - code.len()];
        if !is_function(code) || code.ends_with(['}', ';']) {
            continue;
        }
        let is_brace = |line: &&str| {
            line.strip_prefix(indent)
                .is_some_and(|l| l.starts_with(['}', ')']))
        };
        let last = |line: &&str| is_brace(line) && line.ends_with(['}', ';']);
        let length = lines[at..].iter().position(last).map_or(0, |n| n + 1);
        let function = &lines[at..at + length];
        let rows = function.iter().filter(|line| line.ends_with(',')).count();
        let most = match tests.is_some_and(|tests| at > tests) {
            true => MAX_TEST_LINES,
            false if rows * 2 >= length => MAX_TABLE_LINES,
            false => MAX_FUNCTION_LINES,
        };
        if length > most {
            faults.push((at + 1, format!("is a function of {length} lines: {code}")));
        }
    }
    faults
}

fn is_function(code: &str) -> bool {
    let before = code.split("fn ").next().unwrap_or_default();
    let qualifier = |word: &str| {
        matches!(word, "const" | "async" | "unsafe" | "extern" | "\"C\"") || word.starts_with("pub")
    };
    before.len() < code.len() && before.split_whitespace().all(qualifier)
}

#[test]
fn the_rules_find_what_they_forbid() {
    let found = |lines: &[&str]| -> Vec<usize> {
        let text = [&[LICENCE], lines].concat().join("\n");
        faults_of(&text).into_iter().map(|(line, _)| line).collect()
    };
    let none = [0; 0];
    assert_eq!(faults_of("fn main() {}").len(), 1);
    assert_eq!(
        found(&["//! Name of a thing.", "/// Itself is no pronoun."]),
        none
    );
    assert_eq!(found(&["/// It is vague."]), [2]);
    assert_eq!(
        found(&[
            "/// Name of a thing,",
            "/// which goes on.",
            "///",
            "/// The same."
        ]),
        [5]
    );
    assert_eq!(
        found(&["/// ```", "/// If(code)", "///", "/// If", "/// ```"]),
        none
    );
    let function = |lines| ["pub fn f() {\n", &"    x();\n".repeat(lines - 2), "}\n"].concat();
    assert_eq!(long_functions(&function(MAX_FUNCTION_LINES)), []);
    assert_eq!(long_functions(&function(MAX_FUNCTION_LINES + 1)).len(), 1);
    let table = |lines| ["pub fn f() {\n", &"    a => b,\n".repeat(lines - 2), "}\n"].concat();
    assert_eq!(long_functions(&table(MAX_TABLE_LINES)), []);
    assert_eq!(long_functions(&table(MAX_TABLE_LINES + 1)).len(), 1);
    let test = |lines| ["mod tests {\n", &function(lines), "}\n"].concat();
    assert_eq!(long_functions(&test(MAX_TEST_LINES)), []);
    assert_eq!(long_functions(&test(MAX_TEST_LINES + 1)).len(), 1);
    assert_eq!(found(&["x();"; MAX_FILE_LINES]), [1]);
}
