// SPDX-License-Identifier: Apache-2.0
#![allow(clippy::unwrap_used)]
use super::*;

pub const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAu27s6wBgRTcv8oHpNcxNCeiEKIY08S+emMug+zDo89 a";

pub fn good(text: &str) -> UserData {
    let (data, diagnostics) = parse(text, user::DEFAULT);
    assert_eq!(diagnostics, Diagnostics::default());
    data
}

pub fn diagnostics(text: &str) -> Diagnostics {
    parse(text, user::DEFAULT).1
}

#[test]
fn the_first_line_decides_the_format() {
    assert_eq!(format(b" \n"), Format::Empty);
    assert!(matches!(
        format(b"#cloud-config\na: b"),
        Format::CloudConfig(_)
    ));
    assert!(matches!(
        format(b"#cloud-config \r\na: b"),
        Format::CloudConfig(_)
    ));
    assert!(matches!(format(b"#!/bin/sh\n"), Format::Script(_)));
    for (bytes, says) in [
        (&b"\x1f\x8b\x08"[..], "gzip"),
        (b"## template: jinja\n#cloud-config\n", "template"),
        (b"#include\nhttp://x\n", "URLs"),
        (b"#cloud-config-archive\n", "archive"),
        (b"Content-Type: multipart/mixed", "MIME"),
        (b"users: []\n", "first line"),
        (b"#cloud-config\n\xff", "UTF-8"),
    ] {
        assert!(
            matches!(format(bytes), Format::Unsupported(what) if what.contains(says)),
            "{says}"
        );
    }
}

/// Lima's user-data (v2.2, pkg/cidata/cidata.TEMPLATE.d/user-data), with KEY for a key.
const LIMA: &str = r#"#cloud-config
# vim:syntax=yaml
growpart:
  mode: auto
  devices: ['/']
mounts:
- [mount0, /Users/ann, virtiofs, "ro,nofail", "0", "0"]
timezone: Europe/Berlin
users:
  - name: "ann"
    uid: "501"
    gecos: "Ann B"
    homedir: "/home/ann.guest"
    shell: /bin/bash
    sudo: ALL=(ALL) NOPASSWD:ALL
    lock_passwd: true
    ssh-authorized-keys:
      - "KEY"
write_files:
 - content: |
      #!/bin/sh
      exit 0
   owner: root:root
   path: /var/lib/cloud/scripts/per-boot/00-lima.boot.sh
   permissions: '0755'
manage_resolv_conf: true
resolv_conf:
  nameservers:
  - 192.168.5.3
bootcmd:
- |
  echo a
  echo b
"#;

#[test]
fn lima_user_data() {
    let data = good(&LIMA.replace("KEY", KEY));
    let user = &data.users[0];
    let account = &user.account;
    let named = (account.name.as_str(), account.gecos.as_str());
    assert_eq!((named, account.uid), (("ann", "Ann B"), Some(501)));
    assert_eq!(account.home.as_deref(), Some("/home/ann.guest"));
    assert_eq!(user.sudo, ["ALL=(ALL) NOPASSWD:ALL"]);
    assert_eq!(user.keys, [KEY]);
    let file = &data.files[0];
    assert_eq!(
        (file.mode, file.owner.as_deref()),
        (0o755, Some("root:root"))
    );
    assert_eq!(file.content, b"#!/bin/sh\nexit 0\n");
    assert_eq!(data.bootcmd, ["echo a\necho b\n"]);
    let mount = &data.mounts[0];
    assert_eq!(
        (mount.source.as_str(), mount.options.as_str(), mount.nofail),
        ("mount0", "ro", true)
    );
    assert_eq!(data.timezone.as_deref(), Some("Europe/Berlin"));
}

#[test]
fn files_in_every_encoding() {
    let data = good(
        "write_files:\n\
         - {path: /a, content: \"QQ==\", encoding: b64, append: true}\n\
         - {path: /b, content: \"QQ==\", encoding: gz+b64, permissions: 0600, defer: true}\n\
         - {path: /c}\n",
    );
    let [a, b, c] = data.files.as_slice() else {
        panic!("{:?}", data.files)
    };
    assert!(a.content == b"A" && a.append && !a.is_gzip && a.mode == 0o644);
    assert!(b.is_gzip && b.defer && b.mode == 0o600);
    assert!(c.content.is_empty());
    for (text, says) in [
        ("{path: a}", "absolute"),
        ("{path: /a, permissions: rw}", "octal"),
        ("{path: /a, content: '!', encoding: b64}", "base64"),
        ("{path: /a, encoding: rot13}", "encoding"),
        ("{path: /a, content: !!binary '!'}", "base64"),
        ("{path: /a, content: [x]}", "content: must be a text"),
        ("{path: /a, contents: x}", "contents"),
        (
            "{path: /a, append: perhaps}",
            "append: must be true or false",
        ),
        ("{path: /a, source: {uri: http://x}}", "source"),
    ] {
        let diagnostics = diagnostics(&format!("write_files: [{text}]"));
        assert!(
            diagnostics.failed.len() == 1 && diagnostics.failed[0].contains(says),
            "{diagnostics:?}"
        );
    }
}

#[test]
fn commands_are_lines_of_a_shell() {
    let data = good("runcmd:\n- echo $HOME\n- [touch, \"it's\", '$x']\n-\n");
    assert_eq!(data.runcmd, ["echo $HOME", r"'touch' 'it'\''s' '$x'"]);
    assert_eq!(diagnostics("runcmd: [{a: b}]").failed.len(), 1);
}

#[test]
fn passwords_are_refused_by_name_and_not_shown() {
    for text in [
        "password: secret",
        "chpasswd: {list: 'a:secret'}",
        "ssh_pwauth: true",
        "users: [{name: ann, plain_text_passwd: secret}]",
        "users: [{name: ann, passwd: $6$secret}]",
        "ssh_authorized_keys: [secret]",
    ] {
        let diagnostics = diagnostics(text);
        assert_eq!(diagnostics.failed.len(), 1, "{text}");
        assert!(!diagnostics.failed[0].contains("secret"), "{diagnostics:?}");
    }
    good("ssh_pwauth: false\nusers: [default, {name: ann, lock_passwd: false}]\n");
}

#[test]
fn unsupported_keys_are_named() {
    let diagnostics = diagnostics("packages: [vim]\napt: {}\nusers: [{name: ann, snapuser: x}]\n");
    for part in ["packages", "apt", "snapuser"] {
        assert!(
            diagnostics.unsupported.iter().any(|n| n.contains(part)),
            "{diagnostics:?}"
        );
    }
    assert!(diagnostics.failed.is_empty());
}

#[test]
fn values_cannot_add_lines_to_system_files() {
    for text in [
        "users: [\"a:b\"]",
        "users: [{name: ann, homedir: \"/a:/b\"}]",
        "users: [{name: ann, gecos: \"a\\nroot::0:0\"}]",
        "users: [{name: ann, homedir: /home/../etc}]",
        "users: [{name: ann, uid: 0}]",
        "users: [{name: ann, sudo: \"ALL=(ALL) ALL\\nbob ALL=(ALL) ALL\"}]",
        "users: [{name: ann, sudo: \"broken\"}]",
        "users: [{name: ann, groups: \"a:b\"}]",
        "mounts: [[a, b]]",
        "mounts: [[a, \"/b\\nc d\", ext4]]",
        "mounts: [[a, /b, ext4, \"ro 0 0\\nx\"]]",
    ] {
        assert_eq!(diagnostics(text).failed.len(), 1, "{text}");
    }
}

#[test]
fn hostname_precedence() {
    let name = |text: &str| hostname(&good(text), Some("meta.example"));
    assert_eq!(name("a: ~").as_deref(), Some("meta"));
    assert_eq!(
        name("hostname: box\nfqdn: x.example").as_deref(),
        Some("box")
    );
    assert_eq!(name("fqdn: x.example").as_deref(), Some("x"));
    let full = "fqdn: x.example\nhostname: box\nprefer_fqdn_over_hostname: true";
    assert_eq!(name(full).as_deref(), Some("x.example"));
    assert_eq!(name("preserve_hostname: true\nhostname: box"), None);
}

#[test]
fn mounts_as_mount_takes_them() {
    let data = good(
        "mounts:\n\
         - [vdb1, /srv, ext4, \"noatime,x-systemd.automount,_netdev\"]\n\
         - [vdtag, /mnt, virtiofs]\n- [none]\n- [LABEL=x, /x]\n",
    );
    let sources: Vec<_> = data.mounts.iter().map(|m| m.source.as_str()).collect();
    assert_eq!(sources, ["/dev/vdb1", "vdtag", "LABEL=x"]);
    assert_eq!(
        (data.mounts[0].options.as_str(), data.mounts[0].nofail),
        ("noatime", false)
    );
    assert_eq!(
        (data.mounts[2].options.as_str(), data.mounts[2].nofail),
        ("defaults", true)
    );
}

#[test]
fn certificates_in_both_spellings() {
    let certs = good("ca-certs:\n  remove-defaults: true\n  trusted:\n  - |\n    a\n").certs;
    assert!(certs.remove_defaults && certs.trusted == ["a\n"]);
}

#[test]
fn binary_content_is_decoded() {
    let data = good(
        "write_files:\n- {path: /a, content: !!binary \"/wAB\"}\n\
         - {path: /b, encoding: gzip, content: !!binary \"H4sI\"}\n\
         - {path: /c, content: !!str 12}\n- {path: /d, encoding: b64, content: !!binary \"UVE9PQ==\"}\n",
    );
    let contents: Vec<_> = data.files.iter().map(|f| &f.content[..]).collect();
    let wanted: [&[u8]; 4] = [&[0xff, 0, 1], b"\x1f\x8b\x08", b"12", b"A"];
    assert_eq!(contents, wanted);
    assert!(data.files[1].is_gzip);
    assert_eq!(diagnostics("hostname: !!binary QQ==").failed.len(), 1);
    let other = diagnostics("hostname: a\nfqdn: !env X\n");
    assert!(
        other.failed[0].contains("line 2: the tag !env"),
        "{other:?}"
    );
}

/// The shapes that cloud-init takes (`Distro.create_user`, `normalize_pubkey_data`).
#[test]
fn keys_in_every_shape() {
    for shape in [
        KEY.to_owned(),
        format!("[{KEY}]"),
        format!("{{laptop: {KEY}}}"),
        format!("{{laptop: [{KEY}]}}"),
        format!("{{\"0\": {{openssh-key: {KEY}}}}}"),
    ] {
        let data = good(&format!(
            "ssh_authorized_keys: {shape}\nusers: [{{name: ann, ssh-authorized-keys: {shape}}}]"
        ));
        assert_eq!(data.keys, [KEY], "{shape}");
        assert_eq!(data.users[0].keys, [KEY], "{shape}");
    }
    let found = diagnostics("users: [{name: ann, ssh_authorized_keys: {a: secret}}]");
    let line = "users: ann: ssh_authorized_keys: 1 of 1 lines are no keys; each must be a line of a .pub file";
    assert_eq!(found.failed, [line]);
}

#[test]
fn keys_outlive_what_is_wrong_elsewhere() {
    for wrong in [
        "write_files:\n- &a {path: /a}\n- *a",
        "runcmd: [",
        "a: b: c",
        "packages: !x [y]",
    ] {
        let text = format!(
            "#cloud-config\n{wrong}\nssh_authorized_keys:\n- {KEY}\nhostname: box\n\
             users:\n- name: ann\n  ssh_authorized_keys: {KEY}\n"
        );
        let (data, found) = parse(&text, user::DEFAULT);
        assert_eq!(
            (&data.keys[..], &data.users[0].keys[..]),
            (&[KEY.to_owned()][..], &[KEY.to_owned()][..])
        );
        assert_eq!(data.hostname, None, "{wrong}");
        assert_eq!(found.failed.len(), 1, "{found:?}");
        assert!(found.failed[0].contains("line "), "{found:?}");
    }
}

#[test]
fn ssh_import_id_is_reported_as_failed() {
    for text in [
        "ssh_import_id: [gh:ann]",
        "users: [{name: ann, ssh_import_id: [gh:ann]}]",
        "users: [{name: ann, ssh-import-id: gh:ann}]",
    ] {
        let found = diagnostics(text);
        assert!(found.failed[0].contains("ssh_authorized_keys"), "{found:?}");
    }
    assert!(good("allow_public_ssh_keys: false").ignores_public_keys);
    assert!(!good("allow_public_ssh_keys: true").ignores_public_keys);
}

#[test]
fn a_value_of_another_kind_is_named() {
    for (text, line) in [
        (
            "write_files: {path: /etc/x, content: y}",
            "write_files: must be a list",
        ),
        ("runcmd: {a: b}", "runcmd: must be a list"),
        ("bootcmd: {a: b}", "bootcmd: must be a list"),
        ("mounts: {a: b}", "mounts: must be a list"),
        ("mounts: [vdb, /srv]", "mounts: each must be a list"),
        ("mounts: [[vdb, [/srv]]]", "mounts: must be a text"),
        ("hostname: [box]", "hostname: must be a text"),
        ("timezone: {a: b}", "timezone: must be a text"),
        ("ca_certs: [PEM]", "ca_certs: must be a map"),
        ("ca_certs: {trust: [PEM]}", "ca_certs: trust"),
        (
            "ca_certs: {trusted: {a: b}}",
            "ca_certs: trusted: must be a list",
        ),
        (
            "preserve_hostname: maybe",
            "preserve_hostname: must be true or false",
        ),
        (
            "users: [{name: a, gecos: [x]}]",
            "users: a: gecos: must be a text",
        ),
        (
            "users: [{name: a, groups: {x: y}}]",
            "users: a: groups: must be a list",
        ),
        (
            "users: [{name: a, groups: [[x]]}]",
            "users: a: groups: must be a text",
        ),
        (
            "users: [{name: a, sudo: {x: y}}]",
            "users: a: sudo: must be a list",
        ),
        ("write_files: [x]", "write_files"),
    ] {
        let found = diagnostics(text);
        assert!(
            found.failed.iter().any(|l| l.starts_with(line)),
            "{text}: {found:?}"
        );
    }
}

#[test]
fn the_last_of_two_equal_keys_counts() {
    let (data, found) = parse("runcmd: [a]\nhostname: x\nruncmd: [b]\n", user::DEFAULT);
    assert_eq!(data.runcmd, ["b"]);
    assert_eq!(
        found.failed,
        ["user-data: line 3: runcmd is given twice; the last counts"]
    );
}

#[test]
fn the_first_line_as_cloud_init_reads_it() {
    for text in [
        "\n\n#cloud-config\n",
        "  #cloud-config\n",
        "#Cloud-Config\n",
        "#cloud-config # of x\n",
    ] {
        assert!(
            matches!(format(text.as_bytes()), Format::CloudConfig(_)),
            "{text}"
        );
    }
    assert!(matches!(
        format(b"\n#!/bin/sh\n"),
        Format::Script(b"#!/bin/sh\n")
    ));
    for text in [
        "\n#cloud-config-archive\n",
        "#Include\n",
        "\n## Template: jinja\n",
    ] {
        let is_named = matches!(format(text.as_bytes()), Format::Unsupported(what) if !what.contains("something"));
        assert!(is_named, "{text}");
    }
}
