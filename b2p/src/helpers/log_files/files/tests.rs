// SPDX-License-Identifier: Apache-2.0
use super::*;
use crate::common::log::format::{self, oldest_first};
use crate::common::testing::Temp;

/// Returns number and size of each file.
fn sizes(temp: &Temp) -> Vec<(u32, u64)> {
    let size = |n| {
        let meta = fs::metadata(path(temp.dir(), n)).ok()?;
        Some((n, meta.len()))
    };
    (0..=MAX_FILES).filter_map(size).collect()
}

fn put(temp: &Temp, number: u32, bytes: &[u8]) {
    fs::write(path(temp.dir(), number), bytes).expect("a file");
}

const BOUNDS: Bounds = Bounds {
    size: 100,
    files: 3,
};

fn open(temp: &Temp) -> (Folder, u64) {
    Folder::open(temp.dir(), BOUNDS).expect("it opens")
}

#[test]
fn the_directory_is_made_for_root_only() {
    let temp = Temp::new();
    let dir = temp.path("a/b");
    let (_, size) = Folder::open(&dir, BOUNDS).expect("it opens");
    let mode = |path: &Path| fs::metadata(path).expect("it is there").mode() & 0o777;
    assert_eq!(
        (size, mode(&dir) & 0o027, mode(&path(&dir, 0)) & 0o137),
        (0, 0, 0)
    );
}

/// A log of the user's disk may be anything.
#[test]
fn only_files_are_written_and_read() {
    let temp = Temp::new();
    let mode = nix::sys::stat::Mode::S_IRWXU;
    for number in [0, 2] {
        nix::unistd::mkfifo(&path(temp.dir(), number), mode).expect("a fifo");
    }
    put(&temp, 1, b"--- boot x\n");
    // A blocking open of a fifo would never return.
    assert_eq!(format::next_seq(&oldest_first(temp.dir()), "x"), 0);
    let refused = Folder::open(temp.dir(), BOUNDS)
        .map(drop)
        .expect_err("a fifo");
    assert_eq!(refused.to_string(), "not a file: a fifo");
    fs::remove_file(path(temp.dir(), 0)).expect("it is there");
    std::os::unix::fs::symlink(path(temp.dir(), 1), path(temp.dir(), 0)).expect("a link");
    assert!(Folder::open(temp.dir(), BOUNDS).is_err());
    assert_eq!(sizes(&temp)[1], (1, 11), "nothing was appended by the link");
}

#[test]
fn rotation_renames_files_and_removes_the_oldest() {
    let temp = Temp::new();
    let (mut folder, _) = open(&temp);
    for text in ["one\n", "three\n", "fifth\n", "x\n"] {
        folder.append(text.as_bytes()).expect("there is room");
        folder.rotate().expect("it moves");
    }
    let read = |n| fs::read_to_string(path(temp.dir(), n)).ok();
    assert_eq!(read(0).as_deref(), Some(""));
    assert_eq!(read(1).as_deref(), Some("x\n"));
    assert_eq!(read(2).as_deref(), Some("fifth\n"));
    assert_eq!(read(3), None);
    let order = oldest_first(temp.dir());
    assert_eq!(
        order,
        [
            path(temp.dir(), 2),
            path(temp.dir(), 1),
            path(temp.dir(), 0)
        ]
    );
}

#[test]
fn a_rotation_that_was_cut_off_costs_nothing_when_repeated() {
    let temp = Temp::new();
    let (mut folder, _) = open(&temp);
    folder.append(b"new\n").expect("there is room");
    put(&temp, 2, b"old\n"); // and nothing is log.1: it stopped half-way
    folder.rotate().expect("it moves");
    assert_eq!(sizes(&temp), [(0, 0), (1, 4), (2, 4)]);
}

#[test]
fn with_one_file_the_log_begins_again_when_it_is_full() {
    let temp = Temp::new();
    let bounds = Bounds {
        size: 100,
        files: 1,
    };
    let (mut folder, _) = Folder::open(temp.dir(), bounds).expect("it opens");
    folder.append(b"full\n").expect("there is room");
    folder.rotate().expect("it is emptied");
    folder.append(b"x\n").expect("there is room");
    assert_eq!(sizes(&temp), [(0, 2)]);
}

#[test]
fn files_of_an_earlier_run_are_brought_within_the_limits() {
    let temp = Temp::new();
    put(&temp, 0, &[b"whole\n".as_slice(), &[b'x'; 9000]].concat());
    for number in [1, 2, 3, 7, 99] {
        put(&temp, number, &[b'.'; 90]);
    }
    let (_, size) = open(&temp);
    assert_eq!(size, 6, "the line without an end is cut off");
    assert_eq!(sizes(&temp), [(0, 6), (1, 90), (2, 90)]);
    put(&temp, 1, &[b'.'; 150]);
    open(&temp);
    assert_eq!(sizes(&temp), [(0, 6), (1, 150)]);
    put(&temp, 1, &[b'.'; 201]);
    put(&temp, 0, b"no end");
    assert_eq!(open(&temp).1, 0);
    assert_eq!(sizes(&temp), [(0, 0)]);
}

#[test]
fn a_removed_log_is_created_again() {
    let temp = Temp::new();
    let (mut folder, _) = open(&temp);
    folder.append(b"a\n").expect("there is room");
    fs::remove_file(path(temp.dir(), 0)).expect("it was there");
    folder.append(b"b\n").expect("there is room");
    assert_eq!(sizes(&temp), [(0, 2)]);
}

#[test]
fn sizes_and_counts_out_of_range_are_refused() {
    assert_eq!(Bounds::new(4 << 20, 4), Ok(Bounds::DEFAULT));
    for (size, files) in [
        (0, 4),
        (65_535, 4),
        (u64::MAX, 4),
        (65_536, 0),
        (65_536, 101),
    ] {
        assert!(Bounds::new(size, files).is_err(), "{size} {files}");
    }
}
