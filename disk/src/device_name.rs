// SPDX-License-Identifier: Apache-2.0
//! Names of block devices in the kernel (block/partitions/core.c, `disk_name`).

use std::cmp::Ordering;

/// Returns the name of a partition. A `p` separates its number from a disk's name that ends in a
/// digit.
#[must_use]
pub fn partition(disk: &str, number: u32) -> String {
    let p = if disk.ends_with(|c: char| c.is_ascii_digit()) {
        "p"
    } else {
        ""
    };
    format!("{disk}{p}{number}")
}

/// Compares names in natural order: digits are compared as numbers, so that sda2 is before sda10,
/// and shorter names are first, so that sdz is before sdaa.
#[must_use]
pub fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (runs(a), runs(b));
    let mut orders = a.iter().zip(&b).map(|(x, y)| compare_runs(x, y));
    orders
        .find(|order| order.is_ne())
        .unwrap_or(a.len().cmp(&b.len()))
}

fn compare_runs(a: &str, b: &str) -> Ordering {
    let digits = |t: &str| t.starts_with(|c: char| c.is_ascii_digit());
    let significant = |t: &str| t.trim_start_matches('0').to_owned();
    match (digits(a), digits(b)) {
        (true, true) => {
            let (x, y) = (significant(a), significant(b));
            x.len().cmp(&y.len()).then(x.cmp(&y)).then(a.cmp(b))
        }
        (false, false) if same_driver(a, b) => a.len().cmp(&b.len()).then(a.cmp(b)),
        _ => a.cmp(b),
    }
}

/// Returns true for disks of one driver, as sda and sdaa, but not sda and vda.
fn same_driver(a: &str, b: &str) -> bool {
    a.get(..2) == b.get(..2)
}

/// Splits a name into runs of digits and runs of other characters.
fn runs(name: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let digit = first.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != digit);
        let (run, after) = rest.split_at(end.unwrap_or(rest.len()));
        out.push(run);
        rest = after;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digit_at_the_end_takes_a_p() {
        for (disk, name) in [
            ("vda", "vda1"),
            ("nvme0n1", "nvme0n1p1"),
            ("mmcblk0", "mmcblk0p1"),
            ("loop0", "loop0p1"),
            ("xvdb", "xvdb1"),
        ] {
            assert_eq!(partition(disk, 1), name);
        }
    }

    #[test]
    fn device_names_are_sorted_by_number() {
        let sorted = [
            "nvme0n1",
            "nvme0n1p2",
            "nvme0n1p10",
            "nvme2n1",
            "nvme10n1",
            "sda",
            "sda2",
            "sda10",
            "sdb",
            "sdz",
            "sdaa",
            "vda",
        ];
        let mut names = sorted;
        names.reverse();
        names.sort_unstable_by(|a, b| compare(a, b));
        assert_eq!(names, sorted);
    }
}
