// SPDX-License-Identifier: Apache-2.0
//! Values that a flag refuses, and the text of its diagnostic.

mod common;

use common::{ED25519, P256, check, check_part, read, read_all};
use config::Net;

#[test]
fn a_user_is_one_that_useradd_would_take() {
    for bad in [
        "9x",
        "a b",
        "a:b:c",
        "root",
        "sshd",
        ".x",
        "-x",
        "\u{e4}",
        &"a".repeat(33),
    ] {
        let (config, said) = common::read(&format!("\"b2p.user={bad}\""));
        assert_eq!(
            (config.user.as_str(), said.len()),
            ("core", 1),
            "{bad}: {said:?}"
        );
    }
    for good in ["me-2", "John.Doe", "_x", "MAX"] {
        assert_eq!(common::good(&format!("b2p.user={good}")).user, good);
    }
}

#[test]
fn bad_words_name_the_nearest() {
    check(
        "b2p.format=magik",
        "b2p.format=magik (command line): ignored: no such value; did you mean magic?; \
         it takes magic, blank, never",
    );
    check_part("b2p.console=stat", "did you mean status?");
    check_part("b2p.podman=on-demand", "did you mean ondemand?");
    check_part("b2p.podman=", "needs a value; it takes ondemand, boot, off");
    check_part("b2p.podman", "needs a value");
    let wrong = " 0 499 980 999 60000 60514 65535 2147483647 4294967296 +501 x 1:2";
    for uid in wrong.split(' ') {
        check_part(&format!("b2p.user=ann:{uid}"), "not a number for a user");
    }
    check_part("b2p.etc=al", "did you mean all?");
    check_part("b2p.etc=", "it takes containers, all, ram");
    check_part("b2p.rootless=defaut", "did you mean default?");
    check_part("b2p.rootless=", "it takes on, off, default");
    check_part("b2p.varlink=offf", "did you mean off?");
    check_part("b2p.sshd=of", "did you mean off?");
    check_part("b2p.rescue=", "needs a value; it takes off, on");
    check_part("b2p.rescue=maybe", "no such value; it takes off, on");
    check_part("b2p.loglevel=DEBUG", "did you mean debug?");
    check_part("b2p.net=dhpc", "did you mean dhcp?");
    check_part("nodhcp=/etc/init.d/x", "it takes off, on");
}

#[test]
fn faulty_disks_are_named() {
    check_part("b2p.data=of", "did you mean off?");
    check_part("b2p.data=sda1", "it takes auto, off, LABEL=<label>");
    check_part("b2p.data=label=x", "did you mean LABEL=?");
    check_part("b2p.data=LABEL=", "not a label");
    check_part("b2p.data=\"LABEL=a\x1bb\"", "a\\x1bb");
    check_part("b2p.data=UUID=xyz", "not a UUID");
    check_part("b2p.data=PARTUUID=1", "not a UUID");
    check_part("b2p.data=/dev/", "not a path");
    check_part("b2p.data=/dev/../etc/shadow", "not a path");
    check_part("b2p.data=/dev//sda", "not a path");
    check_part("b2p.data=/tmp/disk", "no such value");
    check_part("swapfile=auto=1", "no such value");
    check_part("swapfile=../x", "no such value");
    check_part("waitusb=x", "not seconds");
    check_part("waitusb=-1", "not seconds");
    check_part("waitusb=+1", "not seconds");
    check_part("waitusb=3601", "not seconds");
    check_part("waitusb=99999999999999999999", "not seconds");
    check_part("waitusb=5:auto", "no such value");
}

#[test]
fn faulty_swaps_are_named() {
    check_part("b2p.swap", "needs a value; it takes off, zram");
    check_part("b2p.swap=zrma", "did you mean zram?");
    check_part("b2p.swap=file", "did you mean file:?");
    check_part("b2p.swap=label=x", "did you mean LABEL=?");
    check_part("b2p.swap=/dev/../sda", "not a path");
    for size in ["0", "-1", "512M", "16777217", "99999999999999999999", ""] {
        check_part(&format!("b2p.swap=file:{size}"), "not a size in MiB");
        check_part(&format!("b2p.swap=zram:{size}"), "not a size in MiB");
    }
    for size in ["0%", "301%", "-5%", "%", "2.5%"] {
        check_part(&format!("b2p.swap=zram:{size}"), "not a percentage");
    }
}

#[test]
fn faulty_host_names_are_named() {
    for line in ["host=-a", "host=a-", "host=a_b", "host=.", "host=à"] {
        check_part(line, "not a host name");
    }
    check_part("b2p.hostname=", "needs a value; it takes <name>");
    check_part("tz=/etc/shadow", "not a time zone");
    check_part("tz=:/etc/shadow", "not a time zone");
    check_part("tz=Europe/../../../etc/shadow", "not a time zone");
    check_part("\"tz=a b\"", "not a time zone");
    check_part("ntpserver=http://x", "not the name or address");
    check_part("tz", "needs a value");
    check_part("b2p.rsyslog=fd00::1", "in brackets");
    check_part("rsyslog=box:99999", "port is not 1 to 65535");
    check_part("rsyslog=box,tls", "only tcp or udp");
}

#[test]
fn faulty_networks_are_named() {
    check_part("b2p.net=10.0.2.15", "lacks its prefix");
    for prefix in ["0", "33", "x", "", "+8", "255.255.255.0"] {
        check_part(
            &format!("b2p.net=10.0.2.15/{prefix}"),
            "prefix is not 1 to 32",
        );
    }
    for addr in [
        "0.0.0.0",
        "127.0.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "1.2.3",
        "01.2.3.4",
    ] {
        check_part(&format!("b2p.net={addr}/24"), "not an IPv4 unicast address");
        check_part(
            &format!("b2p.net=10.0.2.15/24,10.0.2.2,{addr}"),
            "not an IPv4 unicast address",
        );
    }
    check_part(
        "b2p.net=10.0.2.15/24,10.0.2.2,",
        "not an IPv4 unicast address",
    );
    check_part(
        "b2p.net=10.0.2.15/24,,10.0.0.1,10.0.0.2,10.0.0.3,10.0.0.4",
        "more than three",
    );
    check_part("b2p.net=fd00::1/64", "a static address is IPv4");
    check_part("ip=dchp", "did you mean dhcp?");
    check_part("ip=bootp", "only dhcp is supported");
    check_part("ip=", "needs a value");
    check_part("ip=[fd00::1]::::::", "IPv4");
    check_part("ip=eth0:dhcp", "not an IPv4 unicast address");
    check_part("ip=:::::a/b", "not the name of a network interface");
    check_part(
        "ip=:::::sixteen-letters-",
        "not the name of a network interface",
    );
    check_part("ip=10.0.2.15:::255.0.255.0", "the netmask has holes");
    check_part("ip=::::::::::", "more than ten fields");
}

#[test]
fn a_bad_name_in_ip_keeps_the_address() {
    let (config, diagnostics) = read("ip=10.0.2.15::::a_b:eth0:off");
    assert!(
        diagnostics[0].contains("not a host name"),
        "{diagnostics:?}"
    );
    assert!(matches!(config.net, Net::Static { .. }));
    assert_eq!(config.hostname, "boot2podman");
}

#[test]
fn a_bad_extension_keeps_the_others() {
    let (config, diagnostics) = read("b2p.ext=a,../b,C b2p.ext=a,,d-1");
    assert_eq!(config.extensions, ["a", "d-1"]);
    assert!(
        diagnostics[0].contains("the other names in the list are applied"),
        "{diagnostics:?}"
    );
}

#[test]
fn a_bad_module_keeps_the_others() {
    let (config, diagnostics) = read("blacklist=a,../b,c");
    assert_eq!(config.blacklist, ["a", "c"]);
    assert!(
        diagnostics[0].contains("the other names in the list are applied"),
        "{diagnostics:?}"
    );
}

#[test]
fn faulty_keys_are_named() {
    let key = |value: &str| format!("b2p.ssh_key=\"{value}\"");
    let base64 = ED25519.split(' ').nth(1).unwrap_or_default();
    let whole = base64.len();
    check(
        &key(&format!("ssh-ed25591 {base64} who")),
        "b2p.ssh_key=\"ssh-ed25591 ...\" (command line): ignored: not a type of SSH key; \
         did you mean ssh-ed25519?; it takes \"<type> <base64> <comment>\"",
    );
    check_part(
        "b2p.ssh_key=ssh-ed25519",
        "put double quotes around the whole",
    );
    for cut in 1..whole {
        check_part(
            &key(&format!("ssh-ed25519 {}", &base64[..cut])),
            "damaged or cut short",
        );
    }
    for cut in (4..140).step_by(4) {
        let base64 = P256.split(' ').nth(1).unwrap_or_default();
        check_part(
            &key(&format!("ecdsa-sha2-nistp256 {}", &base64[..cut])),
            "cut short",
        );
    }
    check_part(&key(&format!("ssh-rsa {base64}")), "of another type");
    check_part(&key(&format!("ssh-ed25519 {base64}AAAA")), "damaged");
    check_part(
        &key(&format!("ssh-ed25519 {base64}\n{ED25519}")),
        "more than one line",
    );
    check_part(
        &key(&format!("{ED25519}{}", "x".repeat(16 * 1024))),
        "longer than",
    );
    check_part(&key("gibberish"), "not a type of SSH key");
    check_part(&key("from=\"x y\" gibberish"), "not a type of SSH key");
    check_part("b2p.ssh_key", "needs a value");
    check_part("b2p.ssh_key=", "needs a value");
}

#[test]
fn private_keys_are_named_and_not_shown() {
    let pem = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\nc2VjcmV0\n\
               -----END OPENSSH PRIVATE KEY-----\n";
    let secret = |text: &str| ["b3Bl", "c2Vj"].iter().any(|part| text.contains(part));
    for line in [
        format!("b2p.ssh_key=\"{pem}\""),
        format!("b2p.ssh_key=\"{}\"", pem.replace('\n', " ")),
        "b2p.ssh_key=-----BEGIN OPENSSH PRIVATE".to_owned(),
    ] {
        check_part(&line, "this is a PRIVATE key");
        assert!(!secret(&read(&line).1[0]));
    }
    for file in [
        pem.to_owned(),
        pem.replace('\n', "\r\n"),
        format!("{pem}\n{ED25519}\n"),
    ] {
        let (config, diagnostics) = read_all("", &[("ssh_key", &file)]);
        assert_eq!(diagnostics.len(), 1, "{diagnostics:?}");
        assert!(diagnostics[0].starts_with("opt/org.boot2podman/ssh_key (fw_cfg, line 1): "));
        assert!(diagnostics[0].contains("PRIVATE") && !secret(&diagnostics[0]));
        assert_eq!(config.ssh_keys.len(), usize::from(file.contains(ED25519)));
    }
    check_part(
        "b2p.ssh_key=\"---- BEGIN SSH2 PUBLIC KEY ----\"",
        "ssh-keygen -i",
    );
}

#[test]
fn a_long_host_name_is_cut_and_reported() {
    let (a40, a64) = ("a".repeat(40), "a".repeat(64));
    for (flag, name) in [
        (format!("b2p.hostname={a40}.{}", "b".repeat(40)), a40),
        (format!("host={a64}"), "a".repeat(63)),
        ("b2p.hostname=web.exa_mple".to_owned(), "web".to_owned()),
        ("host=web..example".to_owned(), "web".to_owned()),
        (format!("host={}b", "a.".repeat(32)), "a".to_owned()),
    ] {
        let (config, diagnostics) = read(&flag);
        assert_eq!(config.hostname, name, "{flag}");
        let said = diagnostics.concat();
        let cut = format!("not a host name of at most 64 bytes; cut to {name}");
        assert!(said.contains(&cut), "{said}");
    }
    let (config, diagnostics) = read("b2p.hostname=box.example.");
    assert_eq!(
        (config.hostname.as_str(), diagnostics.len()),
        ("box.example", 0)
    );
}
