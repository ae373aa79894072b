// SPDX-License-Identifier: Apache-2.0
//! Relative links of every page: the file is there, and has the heading.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::files_of_kind;

#[test]
fn every_link_of_every_page_leads_somewhere() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut faults = Vec::new();
    let mut count = 0;
    for page in files_of_kind(&root, ".md")? {
        let name = page.strip_prefix(&root)?.display();
        let text = fs::read_to_string(&page).with_context(|| format!("read {name}"))?;
        for (line, link) in links(&text) {
            count += 1;
            if let Some(fault) = fault(&page, &text, link)? {
                faults.push(format!("{name}:{line}: {link}: {fault}"));
            }
        }
    }
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    ensure!(count > 100, "only {count} links");
    Ok(())
}

/// Returns the reason for which a link of a page leads nowhere.
fn fault(page: &Path, text: &str, link: &str) -> Result<Option<&'static str>> {
    let (path, heading) = link.split_once('#').unwrap_or((link, ""));
    let target = page
        .parent()
        .context("a page is in a directory")?
        .join(path);
    if !path.is_empty() && !target.exists() {
        return Ok(Some("no such file"));
    }
    if heading.is_empty() || !path.is_empty() && !path.ends_with(".md") {
        return Ok(None);
    }
    let other;
    let text = match path {
        "" => text,
        path => {
            other = fs::read_to_string(target).with_context(|| format!("read {path}"))?;
            &other
        }
    };
    Ok((!anchors(text).contains(heading)).then_some("no such heading"))
}

/// Returns the lines of a page, with their numbers, that are not in a block of code.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !in_code && !is_fence
    })
}

/// Returns the targets of the links to files and headings, with the numbers of their lines.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        for rest in line.split("](").skip(1) {
            let target = rest.split([')', ' ']).next().unwrap_or_default();
            if !target.contains("://") && !target.starts_with("mailto:") {
                found.push((number, target));
            }
        }
    }
    found
}

/// Returns the anchors of a page's headings as GitHub makes them: lower case, a dash for each
/// blank, no other punctuation, and a number after an anchor that is there already.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for (_, line) in prose(text) {
        let title = line.trim_start_matches('#');
        if title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
        let anchor: String = title.trim().to_lowercase().chars().filter(kept).collect();
        let anchor = anchor.replace(' ', "-");
        let mut number = 0;
        let mut numbered = anchor.clone();
        while !anchors.insert(numbered) {
            number += 1;
            numbered = format!("{anchor}-{number}");
        }
    }
    anchors
}

#[test]
fn links_and_anchors_are_those_of_the_text() {
    let text = "# A `b2p` page, twice\n[a](x.md) and [b](../y.md#h) ![c](https://example.org)\n\
                ```\n# no heading, [no](link.md)\n```\n## A b2p page twice\n#no-heading\n[d](#a-b)\n";
    assert_eq!(links(text), [(2, "x.md"), (2, "../y.md#h"), (8, "#a-b")]);
    let anchors: Vec<String> = anchors(text).into_iter().collect();
    assert_eq!(anchors, ["a-b2p-page-twice", "a-b2p-page-twice-1"]);
}
