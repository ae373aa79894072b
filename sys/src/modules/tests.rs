// SPDX-License-Identifier: Apache-2.0
#![allow(clippy::unwrap_used)]
use super::*;

fn index() -> Modules {
    Modules {
        read: true,
        dep: parse_dep(
            "kernel/drivers/net/virtio_net.ko: kernel/drivers/net/net_failover.ko kernel/net/core/failover.ko\n\
             kernel/drivers/net/net_failover.ko: kernel/net/core/failover.ko\n\
             kernel/net/core/failover.ko:\n",
        ),
        alias: parse_alias(
            "alias virtio:d00000001v* virtio_net\nalias rtnl-link-dummy dummy\nalias a b virtio_net\n# x\n",
        ),
        softdep: parse_softdep("softdep btrfs pre: crc32c xxhash64 post: x\nsoftdep y post: z\n"),
        builtin: ["ext4.ko", "kernel/crypto/crc32c-generic.ko"]
            .map(module_name)
            .into(),
        dir: "/nonexistent".into(),
        ..Modules::default()
    }
}

#[test]
fn the_index_is_read_at_the_first_load_and_not_before() {
    let dir = std::env::temp_dir().join(format!("b2p-modules-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("modules.dep"), "kernel/a.ko:\n").unwrap();
    fs::write(dir.join("modules.builtin"), "kernel/b-c.ko\n").unwrap();
    let mut m = Modules {
        dir: dir.clone(),
        ..Modules::default()
    };
    assert!(m.dep.is_empty() && m.builtin.is_empty());
    assert_eq!(m.load("b_c"), Ok(()));
    assert!(m.dep("a").is_some());
    fs::remove_dir_all(&dir).unwrap();
    assert_eq!(m.load("b-c"), Ok(()), "it was read again");
}

#[test]
fn names_are_normalised() {
    assert_eq!(module_name("kernel/net/nf-nat.ko.xz"), "nf_nat");
    assert_eq!(module_name("failover.ko"), "failover");
    assert!(index().is_builtin("crc32c_generic"));
}

#[test]
fn aliases_resolve_by_pattern() {
    assert_eq!(index().resolve("virtio:d00000001v00001AF4"), ["virtio_net"]);
    assert_eq!(index().resolve("virtio:d00000002v00001AF4"), [""; 0]);
    assert_eq!(index().resolve("a b"), ["virtio_net"]);
}

#[test]
fn builtin_modules_count_as_loaded_and_unknown_ones_are_errors() {
    let mut m = index();
    assert_eq!(m.load("ext4"), Ok(()));
    assert_eq!(m.load("no-such-thing"), Err(LoadError::Unknown));
}

#[test]
fn the_first_dependency_is_tried_first() {
    match index().load("virtio-net") {
        Err(LoadError::Refused(path, Errno::ENOENT)) => {
            assert!(path.ends_with("failover.ko"), "{path}")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_blacklisted_module_is_refused_in_any_spelling() {
    let mut m = index();
    m.configure(&["virtio-net".into()], false);
    assert_eq!(m.load("virtio_net"), Err(LoadError::Blacklisted));
    assert_eq!(m.load("virtio:d00000001v1"), Err(LoadError::Blacklisted));
}

#[test]
fn softdeps_come_before() {
    let pre: Vec<_> = index()
        .softdep
        .iter()
        .map(|(m, p)| format!("{m}<{p}"))
        .collect();
    assert_eq!(pre, ["btrfs<crc32c", "btrfs<xxhash64"]);
}

#[test]
fn globs_match_as_fnmatch_3() {
    for (pattern, text, matches) in [
        ("pci:v00008086d*", "pci:v00008086d00001234", true),
        ("*", "", true),
        ("a*c*e", "abcde", true),
        ("a*c*e", "abcd", false),
        ("usb:v[0-9a]p?", "usb:vap7", true),
        ("usb:v[0-9a]p?", "usb:vbp7", false),
        ("[", "[", false),
        ("", "x", false),
        ("x", "", false),
        ("dmi:*:svnQEMU:*", "dmi:bvn:svnQEMU:pn:", true),
    ] {
        assert_eq!(
            glob_match(pattern.as_bytes(), text.as_bytes()),
            matches,
            "{pattern} {text}"
        );
    }
    // A backtracking matcher would need exponential time for this pattern.
    let pattern = "*a".repeat(30) + "b";
    assert!(!glob_match(
        pattern.as_bytes(),
        "a".repeat(10_000).as_bytes()
    ));
}

#[test]
fn an_extension_adds_modules_and_replaces_none() {
    let dir = std::env::temp_dir().join(format!("b2p-modules-ext-{}", std::process::id()));
    fs::create_dir_all(dir.join("ext")).unwrap();
    fs::write(dir.join("modules.dep"), "kernel/lib/crc.ko:\n").unwrap();
    fs::write(dir.join("modules.alias"), "alias fs-ext4 ext4\n").unwrap();
    let dep = "kernel/fs/nfs.ko: kernel/lib/crc.ko\nevil/crc.ko:\n";
    fs::write(dir.join("ext/nfs.dep"), dep).unwrap();
    fs::write(dir.join("ext/nfs.alias"), "alias fs-nfs nfs\n").unwrap();
    fs::write(dir.join("ext/README"), "kernel/no.ko:\n").unwrap();
    let mut modules = Modules {
        dir: dir.clone(),
        ..Modules::default()
    };
    modules.read_index();
    fs::remove_dir_all(dir).unwrap();
    assert_eq!(modules.resolve("fs-nfs"), ["nfs"]);
    assert_eq!(modules.dep("nfs").unwrap().needs, ["crc"]);
    assert_eq!(modules.dep("crc").unwrap().path, "kernel/lib/crc.ko");
    assert!(modules.dep("no").is_none());
}

#[test]
fn a_list_without_end_is_not_read() {
    let dir = std::env::temp_dir().join(format!("b2p-modules-list-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let list = dir.join("a.dep");
    fs::write(&list, "kernel/a.ko:\n").unwrap();
    assert_eq!(list_text(&list), "kernel/a.ko:\n");
    let file = fs::OpenOptions::new().write(true).open(&list).unwrap();
    file.set_len(MAX_LIST).unwrap();
    assert_eq!(list_text(&list).len() as u64, MAX_LIST);
    file.set_len(1 << 40).unwrap();
    assert_eq!(list_text(&list), "");
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_chain_of_needs_ends() {
    let line = |n: usize| format!("kernel/m{n}.ko: kernel/m{}.ko\n", n + 1);
    let text: String = (0..100_000).map(line).collect();
    let mut modules = Modules {
        dep: parse_dep(&text),
        ..index()
    };
    let refused = Err(LoadError::Refused("m32".to_owned(), Errno::ELOOP));
    assert_eq!(modules.load("m0"), refused);
    assert_eq!((modules.waiting, modules.loaded.len()), (0, 0));
}
