// SPDX-License-Identifier: Apache-2.0
#![allow(clippy::unwrap_used)]
use super::*;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAu27s6wBgRTcv8oHpNcxNCeiEKIY08S+emMug+zDo89 a";

fn good(text: &str) -> UserData {
    let (data, diagnostics) = parse(text).unwrap();
    assert_eq!(diagnostics, Diagnostics::default());
    data
}

fn diagnostics(text: &str) -> Diagnostics {
    parse(text).unwrap().1
}

#[test]
fn what_a_file_is_is_in_its_first_line() {
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
fn limas() {
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
         - {path: /b, content: !!binary \"QQ==\", encoding: gz+b64, permissions: 0600, \
            defer: true}\n\
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
fn what_is_not_supported_is_named() {
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
fn nobody_breaks_out_of_a_line() {
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
fn names_in_their_order() {
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
}
