// SPDX-License-Identifier: Apache-2.0
//! Imports within each crate lead from one module to the next and never back; in `b2p`, the helpers
//! never import from the client, and shared modules import from neither.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::files_of_kind;

/// Path of a module in its crate; the crate itself is empty.
type Module = Vec<String>;

/// For each module, the modules that it imports from and their importers among its descendants. Parents and their
/// children are left out: a module may import from its parent, whose `mod` line declares it.
type Imports = BTreeMap<Module, BTreeMap<Module, String>>;

/// Directories of a crate, each with those that it must not import from.
const FORBIDDEN: &[(&str, &str, &[&str])] = &[
    ("b2p", "helpers", &["client"]),
    ("b2p", "common", &["client", "helpers"]),
];

#[test]
fn no_module_imports_from_one_that_imports_from_it() -> Result<()> {
    let mut faults = Vec::new();
    for (name, modules) in crates()? {
        let imports = imports(&modules);
        faults.extend(
            circles(&imports)
                .into_iter()
                .map(|circle| format!("{name}: {circle}")),
        );
    }
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}

#[test]
fn no_directory_imports_from_one_that_it_must_not_know() -> Result<()> {
    let crates = crates()?;
    for (name, from, forbidden) in FORBIDDEN {
        let modules = crates
            .get(*name)
            .with_context(|| format!("there is no crate {name}"))?;
        let from = vec![(*from).to_owned()];
        ensure!(modules.contains_key(&from), "there is no {from:?}");
        for (to, importer) in imports(modules).remove(&from).unwrap_or_default() {
            let is_forbidden = forbidden.iter().any(|name| to == [(*name).to_owned()]);
            ensure!(
                !is_forbidden,
                "{name}: {importer} imports from {}",
                to.join("::")
            );
        }
    }
    Ok(())
}

/// Returns the modules of each crate of the workspace with their texts, without tests.
fn crates() -> Result<BTreeMap<String, BTreeMap<Module, String>>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut crates = BTreeMap::<String, BTreeMap<Module, String>>::new();
    for path in files_of_kind(&root, ".rs")? {
        let name = path.strip_prefix(&root)?.to_string_lossy().into_owned();
        let Some((name, file)) = name.split_once("/src/") else {
            continue;
        };
        if let Some(module) = module(file) {
            let text = fs::read_to_string(&path)?;
            crates
                .entry(name.to_owned())
                .or_default()
                .insert(module, text);
        }
    }
    Ok(crates)
}

/// Returns the module of a file; `None` for tests and for programs of their own.
fn module(file: &str) -> Option<Module> {
    let mut path: Module = file
        .strip_suffix(".rs")?
        .split('/')
        .map(str::to_owned)
        .collect();
    if path.first()? == "bin" || path.iter().any(|part| part == "tests") {
        return None;
    }
    if ["mod", "lib", "main"].contains(&path.last()?.as_str()) {
        path.pop();
    }
    Some(path)
}

/// Returns the imports between modules with one parent.
fn imports(modules: &BTreeMap<Module, String>) -> Imports {
    let mut imports = Imports::new();
    for (module, text) in modules {
        for path in paths(text) {
            let Some(to) = resolved(&path, module, modules) else {
                continue;
            };
            let common = module.iter().zip(&to).take_while(|(a, b)| a == b).count();
            if common == module.len() || common == to.len() {
                continue;
            }
            let (from, to) = (module[..=common].to_vec(), to[..=common].to_vec());
            imports
                .entry(from)
                .or_default()
                .insert(to, module.join("::"));
        }
    }
    imports
}

/// Returns the longest beginning of a path that is a module.
fn resolved(path: &[String], from: &Module, modules: &BTreeMap<Module, String>) -> Option<Module> {
    let ups = path.iter().take_while(|part| *part == "super").count();
    let mut whole = match path.first()?.as_str() {
        "crate" => path[1..].to_vec(),
        "self" => [from, &path[1..]].concat(),
        "super" => [from.get(..from.len().checked_sub(ups)?)?, &path[ups..]].concat(),
        _ => [from, path].concat(),
    };
    let is_relative = !["crate", "self", "super"].contains(&path[0].as_str());
    while !modules.contains_key(&whole) {
        whole.pop()?;
    }
    (!is_relative || whole.len() > from.len()).then_some(whole)
}

/// Returns the paths of the text before its tests: those of `use`, and those in the code.
fn paths(text: &str) -> Vec<Module> {
    let code = text
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default();
    let code: String = code
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join(" ");
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let mut paths = Vec::new();
    let mut words = code.as_str();
    while let Some(at) = words.find("use ") {
        let is_word = !words[..at].ends_with(|c: char| is_part(c));
        let rest = &words[at + 4..];
        if is_word && let Some((path, _)) = rest.split_once(';') {
            paths.extend(expanded(&path.replace(' ', "")));
        }
        words = rest;
    }
    paths.extend(
        code.split(|c| !is_part(c))
            .filter(|word| word.contains("::"))
            .map(parts),
    );
    paths
}

fn parts(path: &str) -> Module {
    path.split("::")
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Returns the paths of a tree of `use`, without blanks.
fn expanded(tree: &str) -> Vec<Module> {
    let Some((before, rest)) = tree.split_once('{') else {
        return vec![parts(tree)];
    };
    let inner = rest.rsplit_once('}').map_or(rest, |(inner, _)| inner);
    let mut depth = 0;
    let branches = inner.split(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    branches
        .filter(|branch| !branch.is_empty())
        .flat_map(|branch| expanded(&format!("{before}{branch}")))
        .collect()
}

/// Returns a line for each import that leads back to its importer.
fn circles(imports: &Imports) -> Vec<String> {
    let mut faults = Vec::new();
    for (from, targets) in imports {
        for (to, importer) in targets {
            if reached(imports, to).contains(from) {
                faults.push(format!(
                    "{importer} imports from {}, which leads back to {}",
                    to.join("::"),
                    from.join("::")
                ));
            }
        }
    }
    faults
}

/// Returns all modules that a module imports from, directly or through others.
fn reached(imports: &Imports, from: &Module) -> BTreeSet<Module> {
    let mut found = BTreeSet::new();
    let mut next = vec![from.clone()];
    while let Some(module) = next.pop() {
        for to in imports.get(&module).into_iter().flat_map(BTreeMap::keys) {
            if found.insert(to.clone()) {
                next.push(to.clone());
            }
        }
    }
    found
}

#[test]
fn circles_are_found_in_every_form_of_import() {
    let crate_of = |files: &[(&str, &str)]| -> BTreeMap<Module, String> {
        files
            .iter()
            .map(|(name, text)| (module(name).expect("a module"), (*text).to_owned()))
            .collect()
    };
    let count = |files: &[(&str, &str)]| circles(&imports(&crate_of(files))).len();
    let b = ("b.rs", "fn f() { crate::a::g() }");
    assert_eq!(
        count(&[
            ("lib.rs", "mod a;\nmod b;"),
            ("a.rs", "use crate::b::X;"),
            b
        ]),
        2
    );
    assert_eq!(
        count(&[("a.rs", "use crate::{c, b::{self, X}};"), b, ("c.rs", "")]),
        2
    );
    assert_eq!(
        count(&[("a/mod.rs", ""), ("a/d.rs", "use super::super::b;"), b]),
        2
    );
    assert_eq!(
        count(&[
            (
                "a.rs",
                "// crate::b\n#[cfg(test)]\nmod tests { use crate::b; }"
            ),
            b
        ]),
        0
    );
    assert_eq!(
        count(&[
            ("a/mod.rs", "mod d;\nuse d::Y;"),
            ("a/d.rs", "use super::Z;")
        ]),
        0
    );
    assert_eq!(
        count(&[
            ("a.rs", "use crate::c::X;"),
            b,
            ("c.rs", "use crate::b::Y;")
        ]),
        3
    );
}
