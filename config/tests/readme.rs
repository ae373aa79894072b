// SPDX-License-Identifier: Apache-2.0
//! The README has the table of flags that the code generates, and configure.md the list of those that are needed
//! before the data disk.

const README: &str = include_str!("../../README.md");

#[test]
fn the_table_in_the_readme_is_current() {
    assert!(
        README.contains(&config::flags_markdown()),
        "README.md: put the output of `cargo run -p config --example flags` in place of its table of flags"
    );
}

#[test]
fn configure_md_lists_the_flags_that_the_data_disk_cannot_set() {
    let page = include_str!("../../docs/guide/configure.md");
    let early = config::FLAGS.iter().filter(|flag| flag.before_data_disk);
    let names: Vec<String> = early.map(|flag| format!("`{}`", flag.name)).collect();
    let sentence = format!("before it is mounted: {}.", names.join(", "));
    let words = page.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains(&sentence), "configure.md: {sentence}");
}
