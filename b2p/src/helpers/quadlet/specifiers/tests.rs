// SPDX-License-Identifier: Apache-2.0
//! Tests of specifiers.

use super::*;

fn of(unit: &str, uid: u32) -> Specifiers {
    let (name, home) = match uid {
        0 => ("root", "/root"),
        _ => ("core", "/home/core"),
    };
    Specifiers {
        unit: unit.to_owned(),
        user: Owner {
            uid,
            gid: uid,
            name: name.to_owned(),
            home: home.to_owned(),
        },
        group: "wheel".to_owned(),
        os_release: "NAME=x\nID=boot2podman\nVERSION_ID=\"1.2\"\n".to_owned(),
        host: "box.example.org".to_owned(),
        machine_id: "1d".to_owned(),
        boot_id: "b0".to_owned(),
        release: "6.12".to_owned(),
        source: "/etc/containers/systemd/web.container".to_owned(),
    }
}

#[test]
fn every_specifier_has_its_value() {
    for (unit, uid, text, right) in [
        (
            "web.service",
            0,
            "--cidfile=%t/%N.cid",
            Some("--cidfile=/run/web.cid"),
        ),
        (
            "web.service",
            1000,
            "%t/%N %h %u %U %G",
            Some("/run/user/1000/web /home/core core 1000 1000"),
        ),
        (
            "web.service",
            0,
            "%n %p %i| %S %C %L %E",
            Some("web.service web | /var/lib /var/cache /var/log /etc"),
        ),
        (
            "a@b\\x2dc-d.service",
            0,
            "%p %i %I",
            Some("a b\\x2dc-d b-c/d"),
        ),
        ("x-y@z.service", 0, "%j %J %P %f", Some("y y x/y /z")),
        (
            "web.service",
            1000,
            "%g %q %o %w|%W%A%B%M %D",
            Some("wheel box.example.org boot2podman 1.2| /home/core/.local/share"),
        ),
        (
            "web.service",
            0,
            "%H %l %m %b %v",
            Some("box.example.org box 1d b0 6.12"),
        ),
        (
            "web.service",
            0,
            "%y %Y",
            Some("/etc/containers/systemd/web.container /etc/containers/systemd"),
        ),
        (
            "web.service",
            1000,
            "%S %C %E",
            Some("/home/core/.local/state /home/core/.cache /home/core/.config"),
        ),
        (
            "web.service",
            0,
            "100%% %T %V %s 5%",
            Some("100% /tmp /var/tmp /bin/bash 5%"),
        ),
        ("web.service", 0, "%d", None),
        (
            "web.service",
            0,
            "%{http_code} %-5s %\u{e9} % %%n %",
            Some("%{http_code} %-5s %\u{e9} % %n %"),
        ),
        ("web.service", 0, "%9", None),
    ] {
        let expanded = of(unit, uid).expand(text).ok();
        assert_eq!(expanded.as_deref(), right, "{unit} {text}");
    }
}

/// An escape in the name of a unit stands for any byte (systemd.unit(5)).
#[test]
fn no_nul_comes_from_the_name_of_a_unit() {
    for (unit, text) in [
        ("a\\x00b@1.service", "/bin/%P"),
        ("a\0b.service", "%N"),
        ("a@\\x00.service", "x %I y"),
    ] {
        assert!(of(unit, 0).expand(text).is_err(), "{unit:?} {text}");
    }
}
