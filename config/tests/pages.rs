// SPDX-License-Identifier: Apache-2.0
//! Pages about flags: flags.md has the table that the code generates, and configure.md the list of the flags that are
//! needed before the data disk.

const FLAGS_PAGE: &str = include_str!("../../docs/reference/flags.md");

#[test]
fn the_table_of_flags_is_current() {
    assert!(
        FLAGS_PAGE.contains(&config::flags_markdown()),
        "docs/reference/flags.md: put the output of `cargo run -p config --example flags` in place of its table"
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
