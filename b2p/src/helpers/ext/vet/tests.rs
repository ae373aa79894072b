// SPDX-License-Identifier: Apache-2.0
use super::*;
use crate::common::testing::why;

fn file(path: &str) -> Entry {
    entry(path, Kind::File { mode: 0o755 })
}

fn entry(path: &str, kind: Kind) -> Entry {
    Entry {
        path: path.into(),
        kind,
        attributes: Vec::new(),
    }
}

fn with(entry: Entry, attribute: &str) -> Entry {
    Entry {
        attributes: vec!["user.mime_type".into(), attribute.into()],
        ..entry
    }
}

fn link(path: &str, target: &str) -> Entry {
    entry(path, Kind::Link(target.into()))
}

fn vet(entries: &[Entry]) -> Result<()> {
    let links = |path: &Path| {
        let target = match path.to_str()? {
            "/bin" => "usr/bin",
            "/lib" => "usr/lib",
            "/var/run" => "/run",
            _ => return None,
        };
        Some(PathBuf::from(target))
    };
    let has = |path: &Path| {
        let own = [
            "/usr/bin/bash",
            "/usr/bin/ps",
            "/usr/lib/x86_64-linux-gnu/libc.so.6",
            "/etc/pam.d",
        ];
        own.iter().any(|known| path == Path::new(known))
    };
    let root = Root {
        links: &links,
        has: &has,
        name: "nfs",
        kernel: "6.12.1-cloud",
    };
    check(entries, &root)
}

#[test]
fn packages_of_debian_pass() {
    let entries = [
        entry("usr", Kind::Dir),
        entry("usr/bin", Kind::Dir),
        file("usr/bin/vim.tiny"),
        link("usr/bin/vi", "vim.tiny"),
        file("usr/bin/bash"),
        link("usr/sbin/ip", "../bin/ip"),
        link("usr/bin/python3", "/usr/bin/python3.13"),
        link("lib/libx.so", "../usr/lib/libx.so.1"),
        file("usr/lib/libx.so.1"),
        link("usr/share/doc/x", "../../lib/x"),
        file("etc/idmapd.conf"),
        file("etc/profile.d/go.sh"),
        link("etc/alternatives/vi", "/usr/bin/vim.tiny"),
        file("usr/lib/boot2podman/services/statd"),
        file("usr/lib/modules/6.12.1-cloud/kernel/fs/nfs/nfs.ko"),
        file("usr/lib/modules/6.12.1-cloud/ext/nfs.dep"),
        with(file("usr/bin/labelled"), "security.selinux"),
        entry("etc/pam.d", Kind::Dir),
        file("usr/share/ca/F\u{151}tan\u{fa}s\u{ed}tv\u{e1}ny.crt"),
        file("opt/x/bin/sshd"),
    ];
    assert_eq!(vet(&entries), Ok(()));
}

#[test]
fn each_hostile_entry_is_named_with_the_reason() {
    for (bad, reason) in [
        (
            entry("usr/bin/x", Kind::File { mode: 0o4755 }),
            "/usr/bin/x: a set-user-ID",
        ),
        (
            entry("usr/bin/x", Kind::File { mode: 0o2755 }),
            "/usr/bin/x: a set-user-ID",
        ),
        (
            with(file("usr/bin/x"), "security.capability"),
            "/usr/bin/x: it has the extended attribute security.capability",
        ),
        (
            with(file("usr/bin/x"), "system.posix_acl_access"),
            "attribute system.posix_acl_access",
        ),
        (
            with(entry("usr/x", Kind::Dir), "trusted.overlay.opaque"),
            "attribute trusted.overlay.opaque",
        ),
        (
            with(link("usr/x", "bin"), "user.overlay.whiteout"),
            "attribute user.overlay.whiteout",
        ),
        (
            with(file("usr/x"), "security.a\x1b[2J"),
            "attribute security.a [2J",
        ),
        (entry("usr/x", Kind::Other("a device")), "/usr/x: a device"),
        (
            entry("usr/x", Kind::Other("a fifo")),
            "a fifo; an extension",
        ),
        (entry("usr/x", Kind::Other("a socket")), "a socket; an"),
        (
            file("usr/bin/a\nb"),
            "refused: /usr/bin/a\\nb: its name is not one",
        ),
        (file("init"), "below /usr"),
        (file("root/.ssh/authorized_keys"), "below /usr"),
        (entry("run", Kind::Dir), "below /usr"),
        (link("usr", "tmp"), "out of the files"),
        (
            file("etc/passwd"),
            "/etc/passwd: /etc/passwd belongs to the machine",
        ),
        (file("etc/sudoers.d/x"), "belongs to the machine"),
        (
            file("etc/ssh/sshd_config.d/x.conf"),
            "belongs to the machine",
        ),
        (file("etc/ld.so.preload"), "belongs to the machine"),
        (file("usr/lib/boot2podman/init"), "belongs to the machine"),
        (file("etc/nologin"), "belongs to the machine"),
        (file("usr/lib/pam.d/su"), "belongs to the machine"),
        (
            entry("var/lib/boot2podman/services", Kind::Dir),
            "/var/lib/boot2podman/services belongs",
        ),
        (
            entry("etc/resolv.conf", Kind::Dir),
            "/etc/resolv.conf belongs to the machine",
        ),
        (
            file("lib/boot2podman/init"),
            "/usr/lib/boot2podman/init belongs",
        ),
        (file("var/run/boot2podman/x"), "below /usr"),
        (file("usr/sbin/sshd"), "the machine's own sshd"),
        (file("bin/podman"), "the machine's own podman"),
        (file("usr/local/bin/b2p"), "the machine's own b2p"),
        (
            file("usr/local/bin/bash"),
            "hide the machine's /usr/bin/bash",
        ),
        (file("usr/sbin/ps"), "hide the machine's /usr/bin/ps"),
        (
            file("usr/lib/x86_64-linux-gnu/glibc-hwcaps/x86-64-v3/libc.so.6"),
            "hide the machine's /usr/lib/x86_64-linux-gnu/libc.so.6",
        ),
        (link("usr/bin/x", "../../../etc/x"), "above the root"),
        (link("usr/bin/x", "/etc/shadow"), "out of the files"),
        (link("usr/bin/x", "../../root/.ssh/id"), "out of the files"),
        (link("usr/share/x", "/"), "out of the files"),
        (link("usr/share/x", "x"), "a circle"),
        (link("usr/bin/x", "/dev/vda"), "out of the files"),
        (
            link("etc/x", "/var/lib/boot2podman/config"),
            "out of the files",
        ),
        (
            file("usr/lib/modules/6.1.0/kernel/x.ko"),
            "for the kernel 6.1.0, and its manifest says 6.12.1-cloud",
        ),
        (
            file("usr/lib/modules/6.12.1-cloud/modules.softdep"),
            "a list of the machine's own modules",
        ),
        (
            file("usr/lib/modules/6.12.1-cloud/ext/cifs.dep"),
            "of another extension",
        ),
        (
            file("usr/lib/modules/6.12.1-cloud/ext/a/nfs.dep"),
            "of another extension",
        ),
    ] {
        let refused = why(vet(&[file("usr/bin/good"), bad.clone()]));
        assert!(refused.contains(reason), "{bad:?}: {refused}");
        assert!(refused.starts_with("refused: /"), "{refused}");
        assert!(!refused.contains(char::is_control), "{refused:?}");
    }
}

#[test]
fn a_link_counts_with_those_that_it_leads_through() {
    let entries = [
        link("usr/share/up", "../lib"),
        link("usr/share/x", "up/../../etc/shadow"),
    ];
    assert!(why(vet(&entries)).contains("/usr/share/x: a link to"));
    let entries = [link("usr/share/a", "b"), link("usr/share/b", "a")];
    assert!(why(vet(&entries)).contains("a circle"));
}
