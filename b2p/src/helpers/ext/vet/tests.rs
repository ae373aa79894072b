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
            "/usr/bin/vi" | "/usr/bin/less" => "busybox",
            // A link of an extension that was added before.
            "/usr/share/b" => "/etc/containers",
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
        link("usr/lib/libx.so", "../../usr/lib/libx.so.1"),
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
            "attribute security.a\\x1b[2J",
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
        (
            file("etc/containers/containers.conf"),
            "belongs to the machine",
        ),
        (
            file("etc/containers/containers.conf.d/x.conf"),
            "belongs to the machine",
        ),
        (file("etc/containers/oci/hooks.d/x.json"), "belongs to the"),
        (file("etc/containers/systemd/x.container"), "belongs to the"),
        (
            file("usr/share/containers/systemd/x.container"),
            "belongs to",
        ),
        (
            file("etc/systemd/system/x.service"),
            "belongs to the machine",
        ),
        (file("etc/environment.d/x.conf"), "belongs to the machine"),
        (file("etc/tmpfiles.d/x.conf"), "belongs to the machine"),
        (file("etc/sysctl.d/x.conf"), "belongs to the machine"),
        (file("usr/bin/\u{202e}sl"), "is not one printable line"),
        (
            with(file("usr/x"), "security.\u{2066}a"),
            "attribute security.\\xe2\\x81\\xa6a,",
        ),
        (file("usr/lib/pam.d/su"), "belongs to the machine"),
        (
            entry("var/lib/boot2podman/services", Kind::Dir),
            "/var/lib/boot2podman/services belongs",
        ),
        (
            entry("etc/resolv.conf", Kind::Dir),
            "/etc/resolv.conf belongs to the machine",
        ),
        (file("lib/boot2podman/init"), "below /usr"),
        (
            entry("lib", Kind::Dir),
            "/lib: an extension has files below",
        ),
        (link("sbin/x", "y"), "below /usr"),
        (
            file("var/run/boot2podman/x"),
            "its directory /var/run/boot2podman is /run/boot2podman here",
        ),
        (
            file("usr/share/b/x.conf"),
            "its directory /usr/share/b is /etc/containers here, by a link",
        ),
        (file("usr/sbin/sshd"), "the machine's own sshd"),
        (file("usr/bin/podman"), "the machine's own podman"),
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
        assert!(!refused.contains(sys::printable::is_control), "{refused:?}");
    }
}

#[test]
fn a_link_counts_with_those_that_it_leads_through() {
    let refused = why(vet(&[link("usr/share/x", "b/storage.conf")]));
    assert!(refused.contains("/usr/share/x: a link to \"b/storage.conf\", out of"));
    let entries = [link("usr/share/a", "b"), link("usr/share/b", "a")];
    let refused = why(vet(&entries));
    assert!(
        refused.contains("out of the files"),
        "what is there stays: {refused}"
    );
    let entries = [link("usr/share/a", "c"), link("usr/share/c", "a")];
    assert!(why(vet(&entries)).contains("a circle"));
}

#[test]
fn a_link_that_replaces_one_of_busybox_counts() {
    let entries = [link("usr/bin/vi", "less"), link("usr/bin/less", "vi")];
    assert!(why(vet(&entries)).contains("which is a circle"));
}

/// Each link is judged by itself, so that no extension that is added or removed later leads one elsewhere.
#[test]
fn no_link_leads_through_one_that_comes_later() {
    let through = "through a directory and back";
    for (path, target, reason) in [
        // A directory of another extension, in whose place a link may come.
        ("usr/share/a", "c/../shadow", through),
        ("usr/share/a", "/usr/share/c/../../x", through),
        ("usr/share/a", "./c/./../x", through),
        // A link here to one of these, and another link to a file below it, would meet in a place of the machine.
        ("usr/share/c", "/var/lib", "out of the files"),
        ("usr/share/c", "../lib", "out of the files"),
        ("usr/share/c", "/etc/containers", "out of the files"),
        ("usr/share/c", "b", "out of the files"),
        ("usr/share/c", "../lib/boot2podman", "out of the files"),
    ] {
        let refused = why(vet(&[link(path, target)]));
        assert!(refused.contains(reason), "{target}: {refused}");
    }
    for target in ["../../etc/x", "../lib/x/y", "..//./lib/x", "/usr/share/c"] {
        assert_eq!(vet(&[link("usr/share/a", target)]), Ok(()), "{target}");
    }
}
