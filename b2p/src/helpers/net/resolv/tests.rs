// SPDX-License-Identifier: Apache-2.0
#![allow(clippy::unwrap_used)]
use super::*;

fn servers(all: &[&str]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

#[test]
fn three_servers_each_once() {
    let all = servers(&["1.1.1.1", "1.1.1.1", "1.1.1.2", "fe80::1%eth0", "1.1.1.4"]);
    let t = text(&all, &["lan".into()]);
    let end = "search lan\nnameserver 1.1.1.1\nnameserver 1.1.1.2\nnameserver fe80::1%eth0\n";
    assert!(t.ends_with(end), "{t}");
    assert!(!text(&[], &[]).contains("nameserver"));
}

#[test]
fn a_containers_resolv_conf_is_updated_only_if_podman_wrote_it() {
    let before = text(&servers(&["10.0.2.3", "fd00::3"]), &["lan".into()]);
    let after = text(&servers(&["10.0.9.9", "fd00::9"]), &["home".into()]);
    let follows = |t: &str| updated(t, &before, &after);
    assert_eq!(
        follows("search lan\nnameserver 10.0.2.3\nnameserver fd00::3\n").unwrap(),
        "search home\nnameserver 10.0.9.9\nnameserver fd00::9\n"
    );
    // A container without IPv6, and one with domains and options of its own.
    assert_eq!(
        follows("search lan\nnameserver 10.0.2.3\n").unwrap(),
        "search home\nnameserver 10.0.9.9\n"
    );
    assert_eq!(
        follows("search own\nnameserver 10.0.2.3\noptions ndots:2\n").unwrap(),
        "search own\noptions ndots:2\nnameserver 10.0.9.9\n"
    );
    for other in [
        "nameserver 1.1.1.1\n",
        "nameserver 10.0.2.3\nnameserver 1.1.1.1\n",
        "",
    ] {
        assert_eq!(follows(other), None, "{other:?}");
    }
    assert_eq!(updated("nameserver 10.0.2.3\n", &before, &before), None);
    // From no servers, and to none.
    let none = text(&[], &[]);
    assert_eq!(
        updated("", &none, &after).unwrap(),
        "search home\nnameserver 10.0.9.9\nnameserver fd00::9\n"
    );
    assert_eq!(
        updated("search lan\nnameserver 10.0.2.3\n", &before, &none).unwrap(),
        ""
    );
}

#[test]
fn copies_are_written_in_place_and_links_are_not_followed() {
    use std::os::unix::fs::MetadataExt;
    let dir = std::env::temp_dir().join(format!("b2p-resolv-{}", std::process::id()));
    let file = |name: &str| dir.join(name).join("userdata/resolv.conf");
    for name in ["one", "two"] {
        fs::create_dir_all(file(name).parent().unwrap()).unwrap();
    }
    let old = "nameserver 10.0.2.3\nnameserver 10.0.2.4\n";
    fs::write(file("one"), old).unwrap();
    fs::write(dir.join("secret"), old).unwrap();
    std::os::unix::fs::symlink(dir.join("secret"), file("two")).unwrap();
    let inode = fs::metadata(file("one")).unwrap().ino();
    update_copies(&dir, old, "nameserver 10.0.9.9\n");
    assert_eq!(
        fs::read_to_string(file("one")).unwrap(),
        "nameserver 10.0.9.9\n"
    );
    assert_eq!(fs::metadata(file("one")).unwrap().ino(), inode);
    assert_eq!(fs::read_to_string(dir.join("secret")).unwrap(), old);
    fs::remove_dir_all(dir).unwrap();
}

/// Starts a copy of sleep(1) in `dir` under the name of aardvark-dns, which is then its comm.
fn lookalike(dir: &Path) -> std::process::Child {
    fs::create_dir_all(dir).unwrap();
    let program = dir.join("aardvark-dns");
    fs::copy("/bin/sleep", &program).unwrap();
    std::process::Command::new(program)
        .arg("60")
        .spawn()
        .unwrap()
}

#[test]
fn only_aardvark_dns_gets_the_signal() {
    use std::os::unix::process::ExitStatusExt;
    let dir = std::env::temp_dir().join(format!("b2p-pid-{}", std::process::id()));
    let (mut own, mut other) = (lookalike(&dir.join("own")), lookalike(&dir.join("other")));
    let (file, program) = (dir.join("pid"), dir.join("own/aardvark-dns"));
    let pids = [std::process::id(), other.id(), own.id()].map(|pid| pid.to_string());
    for text in ["", "-1", "1", "x"]
        .into_iter()
        .chain(pids.iter().map(String::as_str))
    {
        fs::write(&file, text).unwrap();
        reload_aardvark(&file, &program); // SIGHUP would end this test
    }
    assert_eq!(own.wait().unwrap().signal(), Some(libc::SIGHUP));
    assert_eq!(other.try_wait().unwrap(), None);
    other.kill().unwrap();
    other.wait().unwrap();
    fs::remove_dir_all(dir).unwrap();
}
