// SPDX-License-Identifier: Apache-2.0
#![allow(clippy::unwrap_used)]
use super::*;
use crate::common::testing::{Temp, why};
use std::os::unix::fs::lchown;

fn user(name: &str, uid: u32) -> User {
    User {
        name: name.to_owned(),
        uid,
    }
}

#[test]
fn a_home_follows_its_user() {
    let record = |names: &[&str], uids: &[u32]| Record {
        last: user("core", 1000),
        document: None,
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        uids: uids.to_vec(),
    };
    let old = record(&["core"], &[]);
    let whole = record(&["core"], &[1000]);
    // A power cut within a hand-over to ann:501, before or after the rename.
    let cut = record(&["core", "ann"], &[1000, 501]);
    let row = |rename: Option<&str>, from: &[u32]| Plan {
        rename: rename.map(str::to_owned),
        from: from.to_vec(),
    };
    for (record, now, homes, want) in [
        (
            &whole,
            user("core", 1000),
            &[("core", 1000)][..],
            row(None, &[]),
        ),
        (
            &whole,
            user("core", 501),
            &[("core", 1000)],
            row(None, &[1000]),
        ),
        (
            &whole,
            user("core", 501),
            &[("core", 501)],
            row(None, &[1000]),
        ),
        (
            &whole,
            user("ann", 1000),
            &[("core", 1000)],
            row(Some("core"), &[]),
        ),
        (
            &whole,
            user("ann", 501),
            &[("core", 1000)],
            row(Some("core"), &[1000]),
        ),
        (
            &whole,
            user("ann", 501),
            &[("ann", 501), ("core", 1000)],
            row(None, &[1000]),
        ),
        (&whole, user("core", 501), &[], row(None, &[])),
        (
            &old,
            user("core", 501),
            &[("core", 1000)],
            row(None, &[1000]),
        ),
        (&old, user("core", 1000), &[("core", 1000)], row(None, &[])),
        (&old, user("ann", 501), &[("ann", 0)], row(None, &[])),
        (
            &cut,
            user("ann", 501),
            &[("core", 1000)],
            row(Some("core"), &[1000]),
        ),
        (&cut, user("ann", 501), &[("ann", 1000)], row(None, &[1000])),
        // The next boot has the first user again, or a third one.
        (
            &cut,
            user("core", 1000),
            &[("ann", 1000)],
            row(Some("ann"), &[501]),
        ),
        (
            &cut,
            user("core", 1000),
            &[("core", 1000)],
            row(None, &[501]),
        ),
        (
            &cut,
            user("eve", 7),
            &[("ann", 1000)],
            row(Some("ann"), &[1000, 501]),
        ),
    ] {
        let owner = |name: &str| {
            let home = homes.iter().find(|(home, _)| *home == name);
            home.map(|(_, uid)| *uid)
        };
        assert_eq!(plan(record, &now, owner), want, "{now:?} {homes:?}");
    }
}

#[test]
fn a_record_is_read_as_it_was_written() {
    let last = user("core", 1000);
    for (text, document, names, uids) in [
        (
            "core:1000\nhome core 1000\n",
            None,
            vec!["core"],
            vec![1000],
        ),
        (
            "core:1000\ndocument ann:501\nhome core,ann 1000,501\n",
            Some(user("ann", 501)),
            vec!["core", "ann"],
            vec![1000, 501],
        ),
    ] {
        let record = Record::parse(text);
        assert_eq!(record.to_text(), text);
        let names = names.into_iter().map(str::to_owned).collect();
        let last = last.clone();
        assert_eq!(
            record,
            Record {
                last,
                document,
                names,
                uids
            }
        );
    }
    // Of an older version, or damaged.
    for text in [
        "core:1000\n",
        "",
        "core:1000\nhome \n",
        "core:1000\nhome ../x,/ -1,x\n",
    ] {
        let record = Record::parse(text);
        assert_eq!(
            (record.names, record.uids),
            (vec!["core".to_owned()], vec![]),
            "{text}"
        );
    }
}

#[test]
fn a_record_is_a_name_and_a_number() {
    assert_eq!(parse("core:1000\n"), Some(user("core", 1000)));
    for garbage in [
        "", "core", ":1", "..:1", "a/b:1", "a,b:1", "core:", "core:x", "core:-1",
    ] {
        assert_eq!(parse(garbage), None, "{garbage}");
    }
}

#[test]
fn containers_that_stay_are_named_until_the_number_is_back() {
    let temp = Temp::new();
    let paths = Paths::below(temp.dir());
    let kept = paths.data_disk().join(DIR);
    fs::create_dir_all(kept.join("home/core")).unwrap();
    let store = paths
        .data_disk()
        .join("containers/user/1000/overlay-images");
    fs::create_dir_all(&store).unwrap();
    fs::write(store.join("images.json"), "[]").unwrap();
    let boot = |name: &str, uid| {
        let config = Config {
            user: name.to_owned(),
            uid,
            ..Config::default()
        };
        hand_over(&paths, &config)
    };
    boot("core", 1000).unwrap();
    for _ in 0..2 {
        let said = why(boot("ann", 501));
        assert!(said.contains("b2p.user=ann:1000 uses them"), "{said}");
    }
    assert!(kept.join("home/ann").is_dir() && !kept.join("home/core").exists());
    boot("core", 1000).unwrap();
    boot("core", 1000).unwrap();
    assert!(kept.join("home/core").is_dir());
    // A document has another number: the containers are named, and the number is remembered.
    let mac = user("core", 501);
    assert!(why(remember(&paths, &mac)).contains("b2p.user=core:1000 uses them"));
    let flag = || remembered(&paths).unwrap();
    assert_eq!(flag().as_deref(), Some("b2p.user=core:501\n"));
    for _ in 0..2 {
        assert!(why(boot("core", 501)).contains("of number 1000 stay"));
        assert!(flag().is_some());
    }
    // A flag has the last word.
    boot("core", 1000).unwrap();
    assert_eq!(flag(), None);
    fs::remove_dir_all(paths.data_disk()).unwrap();
    remember(&paths, &mac).unwrap();
    assert!(!paths.data_disk().exists(), "there is no disk");
}

/// A hand-over of `core` to `ann` that ended at any moment, and a boot with the one, the other or a
/// third user: the home is that user's, whole.
#[test]
fn a_power_cut_leaves_no_half_of_a_home() {
    // Only root can give files away.
    let is_root = nix::unistd::geteuid().is_root();
    let me = nix::unistd::geteuid().as_raw();
    let (core, ann) = if is_root { (1000, 501) } else { (me, me) };
    let files = ["a", "b", "c"];
    for (is_renamed, given) in [(false, 0), (true, 0), (true, 1), (true, 2), (true, 3)] {
        for (name, uid) in [
            ("core", core),
            ("ann", ann),
            ("eve", if is_root { 7 } else { me }),
        ] {
            let temp = Temp::new();
            let paths = Paths::below(temp.dir());
            let homes = paths.data_disk().join(DIR).join("home");
            let home = homes.join(if is_renamed { "ann" } else { "core" });
            fs::create_dir_all(&home).unwrap();
            for (index, file) in files.iter().enumerate() {
                fs::write(home.join(file), file).unwrap();
                let owner = if index < given { ann } else { core };
                lchown(home.join(file), Some(owner), Some(owner)).unwrap();
            }
            lchown(&home, Some(core), Some(core)).unwrap();
            let text = format!("core:{core}\nhome core,ann {core},{ann}\n");
            fs::write(record(&paths), text).unwrap();
            let config = Config {
                user: name.to_owned(),
                uid,
                ..Config::default()
            };
            hand_over(&paths, &config).unwrap();
            let home = homes.join(name);
            for file in files.map(|file| home.join(file)).iter().chain([&home]) {
                assert_eq!(fs::metadata(file).unwrap().uid(), uid, "{name} {given}");
            }
            assert_eq!(fs::read_dir(&homes).unwrap().count(), 1);
            let text = fs::read_to_string(record(&paths)).unwrap();
            assert_eq!(text, format!("{name}:{uid}\nhome {name} {uid}\n"));
        }
    }
}

#[test]
fn a_missing_home_is_made_and_an_invalid_one_named() {
    let temp = Temp::new();
    let home = temp.path("core");
    let me = nix::unistd::geteuid().as_raw();
    for _ in 0..2 {
        make_home(&home, me).unwrap();
        assert!(home.is_dir());
    }
    fs::remove_dir(&home).unwrap();
    fs::write(&home, "x").unwrap();
    assert!(why(make_home(&home, me)).contains("no directory"));
    fs::remove_file(&home).unwrap();
    std::os::unix::fs::symlink("elsewhere", &home).unwrap();
    assert!(why(make_home(&home, me)).contains("a link that leads to no"));
    fs::create_dir(temp.path("elsewhere")).unwrap();
    make_home(&home, me).unwrap();
    assert!(home.is_symlink());
}

#[test]
fn numbers_behind_a_link_are_named_in_each_boot() {
    let temp = Temp::new();
    let paths = Paths::below(temp.dir());
    let homes = paths.data_disk().join(DIR).join("home");
    fs::create_dir_all(homes.join("ann")).unwrap();
    std::os::unix::fs::symlink("/srv/core", homes.join("core")).unwrap();
    fs::write(record(&paths), "core:1000\nhome core,ann 1000\n").unwrap();
    let boot = |uid| {
        let config = Config {
            uid,
            ..Config::default()
        };
        hand_over(&paths, &config)
    };
    boot(1000).unwrap();
    for _ in 0..2 {
        let said = why(boot(501));
        assert!(
            said.contains("is a link") && said.contains("uid 1000"),
            "{said}"
        );
    }
    assert!(homes.join("core").is_symlink() && homes.join("ann").is_dir());
    assert!(why(boot(1000)).contains("uid 501"));
}

#[test]
fn a_home_of_a_number_whose_containers_stay_comes_back_at_once() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let temp = Temp::new();
    let paths = Paths::below(temp.dir());
    let home = paths.data_disk().join(DIR).join("home/core");
    fs::create_dir_all(&home).unwrap();
    lchown(&home, Some(1000), Some(1000)).unwrap();
    let store = paths
        .data_disk()
        .join("containers/user/1000/overlay-images");
    fs::create_dir_all(&store).unwrap();
    fs::write(store.join("images.json"), "[]").unwrap();
    for (name, uid) in [("ann", 501), ("core", 1000)] {
        let config = Config {
            user: name.to_owned(),
            uid,
            ..Config::default()
        };
        assert_eq!(hand_over(&paths, &config).is_ok(), uid == 1000);
        let home = home.with_file_name(name);
        assert_eq!(fs::metadata(home).unwrap().uid(), uid);
    }
}
