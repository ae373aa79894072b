// SPDX-License-Identifier: Apache-2.0
use super::*;
use std::os::unix::fs::symlink;

#[test]
fn links_are_followed_as_the_kernel_follows_them() {
    assert_eq!(join("bin", "usr/bin"), "usr/bin");
    assert_eq!(join("usr/lib/x.so", "x.so.1"), "usr/lib/x.so.1");
    assert_eq!(join("usr/lib64/ld.so", "../lib/ld.so"), "usr/lib/ld.so");
    assert_eq!(join("etc/alternatives/x", "/usr/bin/y"), "usr/bin/y");
}

#[test]
fn a_link_brings_its_target_and_every_file_has_one_name() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    fs::create_dir_all(root.join("usr/lib/sub"))?;
    symlink("usr/lib", root.join("lib"))?;
    fs::write(root.join("usr/lib/sub/real.so.1.2"), "data")?;
    symlink("real.so.1.2", root.join("usr/lib/sub/real.so"))?;
    let packages = PackageTree::of_host(root.to_owned(), String::new());
    let mut selection = Selection::new(&packages);
    selection.add("lib/sub/real.so")?;
    let paths: Vec<_> = selection
        .tree
        .iter()
        .map(|(path, _)| path.to_string())
        .collect();
    let expected = [
        "usr",
        "usr/lib",
        "usr/lib/sub",
        "usr/lib/sub/real.so",
        "usr/lib/sub/real.so.1.2",
    ];
    assert_eq!(paths, expected);
    Ok(())
}

#[test]
fn a_row_that_is_not_in_the_packages_is_named() {
    let error = select(&PackageTree::of_host("/nonexistent".into(), String::new()))
        .map_err(|e| format!("{e:#}"));
    assert!(error.is_err_and(|e| e.contains("userland table: /bin")));
}

#[test]
fn no_row_stands_twice() {
    let mut rows: Vec<&str> = PICKS.iter().map(|r| r.0).collect();
    rows.extend(crate::arch::Arch::host().picks.iter().map(|r| r.0));
    rows.extend(DIRECTORIES.iter().map(|r| r.0));
    rows.extend(LINKS.iter().map(|r| r.0));
    rows.extend(BIND_TARGETS.iter().map(|r| r.0));
    let count = rows.len();
    rows.sort_unstable();
    rows.dedup();
    assert_eq!(rows.len(), count);
}
