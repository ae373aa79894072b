// SPDX-License-Identifier: Apache-2.0
#![allow(clippy::unwrap_used)]
use super::*;
use crate::common::sshkey::KeyPair;
use crate::common::testing::{Temp, why};
use std::os::unix::fs::{PermissionsExt, symlink};

fn paths(temp: &Temp) -> Paths {
    let paths = Paths::below(temp.dir());
    for dir in [paths.state_dir().join("ssh"), paths.at("/etc/ssh")] {
        fs::create_dir_all(dir).unwrap();
    }
    paths
}

fn pair(comment: &str) -> KeyPair {
    sshkey::generate(comment).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// An ssh-keygen that loads nothing.
fn refuses(_: &[u8]) -> Result<String, Refusal> {
    Err(Error::invalid("ssh-keygen: no").into())
}

/// An ssh-keygen that loads everything.
fn loads(_: &[u8]) -> Result<String, Refusal> {
    Ok("ssh-rsa AAAA rsa\n".into())
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn the_disks_key_is_used_with_its_mode_and_its_own_public_half() {
    let temp = Temp::new();
    let paths = paths(&temp);
    install_judged(&paths, refuses).unwrap();
    assert!(!used(&paths).exists());
    let pair = pair("mine");
    // sshd reads a copy of a file with any owner and mode.
    fs::write(stored(&paths), pair.private.as_bytes()).unwrap();
    fs::set_permissions(stored(&paths), fs::Permissions::from_mode(0o666)).unwrap();
    install_judged(&paths, refuses).unwrap();
    assert_eq!(text(&used(&paths)), *pair.private);
    assert_eq!(mode(&used(&paths)), 0o600);
    assert_eq!(text(&public(&used(&paths))), pair.public);
    assert!(!public(&stored(&paths)).exists());
}

#[test]
fn a_key_that_windows_has_saved_is_used() {
    let temp = Temp::new();
    let paths = paths(&temp);
    let pair = pair("mine");
    let saved = format!("\u{feff}{}", pair.private.trim_end().replace('\n', "\r\n"));
    fs::write(stored(&paths), saved).unwrap();
    install_judged(&paths, refuses).unwrap();
    assert_eq!(text(&used(&paths)), *pair.private);
}

#[test]
fn other_types_of_key_are_used_if_ssh_keygen_takes_them() {
    let temp = Temp::new();
    let paths = paths(&temp);
    let pem = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n";
    fs::write(stored(&paths), pem).unwrap();
    install_judged(&paths, loads).unwrap();
    assert_eq!(text(&used(&paths)), pem);
    assert_eq!(text(&public(&used(&paths))), "ssh-rsa AAAA rsa\n");
    let refused = why(install_judged(&paths, refuses));
    assert!(
        refused.ends_with("ssh_host_ed25519_key: ssh-keygen: no"),
        "{refused}"
    );
}

#[test]
fn the_machines_key_is_kept_where_the_disk_has_none() {
    let temp = Temp::new();
    let paths = paths(&temp);
    store(&paths).unwrap();
    assert!(!stored(&paths).exists(), "nothing to store yet");
    for text in ["one", "two"] {
        fs::write(used(&paths), text).unwrap();
        store(&paths).unwrap();
    }
    assert_eq!(text(&stored(&paths)), "one");
    assert_eq!(mode(&stored(&paths)), 0o600);
}

#[test]
fn a_missing_or_truncated_host_key_is_replaced() {
    let temp = Temp::new();
    let paths = paths(&temp);
    fs::write(used(&paths), &pair("half").private.as_bytes()[..150]).unwrap();
    make(&paths).unwrap();
    let made = read(&used(&paths), refuses).unwrap().unwrap();
    assert_eq!(mode(&used(&paths)), 0o600);
    assert_eq!(mode(&public(&used(&paths))), 0o644);
    let line = text(&public(&used(&paths)));
    assert!(sshkey::fingerprint(&line).is_some() && line.ends_with(" boot2podman\n"));
    make(&paths).unwrap();
    assert_eq!(
        read(&used(&paths), refuses).unwrap().unwrap(),
        made,
        "it stays"
    );
    assert_eq!(fs::read_dir(paths.at("/etc/ssh")).unwrap().count(), 2);
}

#[test]
fn a_host_key_whose_public_file_cannot_be_written_is_an_error() {
    let temp = Temp::new();
    let paths = paths(&temp);
    // A directory in the way fails as a full disk does, also for root.
    fs::create_dir(public(&used(&paths))).unwrap();
    let failed = why(make(&paths));
    assert!(failed.contains("ssh_host_ed25519_key.pub: "), "{failed}");
    assert!(!used(&paths).exists());
}

/// Puts another file in the place of the key.
type Put = fn(&Path);

#[test]
fn an_unusable_host_key_is_put_aside_and_replaced() {
    let fifo: Put = |path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let cases: [(&str, Put); 7] = [
        ("a fifo", fifo),
        ("a directory", |path| fs::create_dir(path).unwrap()),
        ("a symbolic link", |path| {
            symlink("/dev/zero", path).unwrap()
        }),
        ("it is empty", |path| fs::write(path, "").unwrap()),
        ("longer than 64 KiB", |path| {
            fs::write(path, [0; 65_537]).unwrap()
        }),
        ("the public half", |path| {
            fs::write(path, pair("x").public).unwrap()
        }),
        ("ssh-keygen: no", |path| {
            fs::write(path, "-----BEGIN X-----\n").unwrap()
        }),
    ];
    for (reason, put) in cases {
        let temp = Temp::new();
        let paths = paths(&temp);
        put(&stored(&paths));
        fs::write(public(&stored(&paths)), "old").unwrap();
        let refused = why(install_judged(&paths, refuses));
        assert!(
            refused.contains(reason) && refused.contains(".broken"),
            "{refused}"
        );
        assert!(stored(&paths).symlink_metadata().is_err() && !used(&paths).exists());
        let broken = stored(&paths).with_file_name("ssh_host_ed25519_key.broken");
        assert!(broken.symlink_metadata().is_ok(), "{reason}");
        assert_eq!(
            text(&broken.with_file_name("ssh_host_ed25519_key.pub.broken")),
            "old"
        );
        // The new key takes its place.
        make(&paths).unwrap();
        store(&paths).unwrap();
        assert!(read(&stored(&paths), refuses).unwrap().is_some());
        // A second renamed file does not replace the first.
        fs::write(stored(&paths), "second").unwrap();
        assert!(why(install_judged(&paths, refuses)).contains(".broken.1, "));
        assert!(broken.symlink_metadata().is_ok(), "{reason}");
    }
}

/// A system that cannot judge.
fn fails(_: &[u8]) -> Result<String, Refusal> {
    Err(Error::from(nix::errno::Errno::ENOSPC).into())
}

#[test]
fn a_key_that_could_not_be_judged_stays() {
    let temp = Temp::new();
    let paths = paths(&temp);
    let pem = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n";
    fs::write(stored(&paths), pem).unwrap();
    fs::write(public(&stored(&paths)), "ssh-rsa AAAA rsa\n").unwrap();
    let said = why(install_judged(&paths, fails));
    assert!(
        said.starts_with("it stays as it is") && said.contains("ENOSPC"),
        "{said}"
    );
    // This boot has a key, which the disk does not keep.
    make(&paths).unwrap();
    store(&paths).unwrap();
    assert!(read(&used(&paths), refuses).unwrap().is_some());
    assert_eq!(text(&stored(&paths)), pem);
    assert_eq!(text(&public(&stored(&paths))), "ssh-rsa AAAA rsa\n");
    let dir = stored(&paths).with_file_name("");
    assert_eq!(fs::read_dir(dir).unwrap().count(), 2);
    // The next boot can judge.
    install_judged(&paths, loads).unwrap();
    assert_eq!(text(&used(&paths)), pem);
}

#[test]
fn a_program_that_does_not_judge_refuses_no_key() {
    let is_judged = |script: &str, limit: Duration| {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        let refusal = keygen_output(&mut command, None, limit).unwrap_err();
        refusal.is_judged
    };
    let enough = Duration::from_secs(60);
    assert!(is_judged("exit 255", enough) && is_judged("exit 1", enough));
    // The linker finds no library; no memory is left; time is up.
    for script in ["exit 127", "kill -9 $$"] {
        assert!(!is_judged(script, enough), "{script}");
    }
    assert!(!is_judged("exec sleep 60", Duration::from_millis(50)));
    let mut none = Command::new("/nonexistent");
    assert!(
        !keygen_output(&mut none, None, enough)
            .unwrap_err()
            .is_judged
    );
}

#[test]
fn the_public_half_of_another_key_is_replaced() {
    let temp = Temp::new();
    let paths = paths(&temp);
    let (mine, other) = (pair("mine"), pair("other"));
    fs::write(stored(&paths), mine.private.as_bytes()).unwrap();
    fs::write(public(&stored(&paths)), &other.public).unwrap();
    let said = why(install_judged(&paths, refuses));
    assert!(
        said.contains("not the public half of the host key"),
        "{said}"
    );
    for path in [used(&paths), stored(&paths)] {
        assert_eq!(text(&public(&path)), mine.public);
    }
    let aside = stored(&paths).with_file_name("ssh_host_ed25519_key.pub.broken");
    assert_eq!(text(&aside), other.public);
    let own_comment = mine.public.replace(" mine", " at home");
    fs::write(public(&stored(&paths)), &own_comment).unwrap();
    install_judged(&paths, refuses).unwrap();
    assert_eq!(text(&public(&stored(&paths))), own_comment);
}

/// With the ssh-keygen of this host, whose path is that of the machine's.
#[test]
fn ssh_keygen_checks_keys_of_other_types() {
    let temp = Temp::new();
    let made = temp.path("key");
    for (kind, bits) in [("ecdsa", "256"), ("rsa", "2048")] {
        let _ = fs::remove_file(&made);
        let name = made.display().to_string();
        keygen(
            &[
                "-q", "-t", kind, "-b", bits, "-N", "", "-C", "x", "-f", &name,
            ],
            None,
        )
        .unwrap();
        let private = fs::read(&made).unwrap();
        let dir = temp.path("work");
        let public = judged_by_ssh_keygen(&private, &dir).unwrap();
        assert!(
            is_same_key(&public, &text(&made.with_extension("pub"))),
            "{public}"
        );
        assert!(!dir.exists(), "the copy is gone");
        for at in (100..private.len() - 100).step_by(97) {
            let mut damaged = private.clone();
            damaged[at] ^= 1;
            // ssh-keygen takes no damage, or the damage is none: in the comment or a line end.
            let judged = judged_by_ssh_keygen(&damaged, &dir);
            assert!(
                judged.is_err() || judged == Ok(public.clone()),
                "{kind} {at}"
            );
        }
    }
}
