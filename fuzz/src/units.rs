// SPDX-License-Identifier: Apache-2.0
//! Target `units`: output of podman's generator, and unit files of an owner.

use b2p::helpers::quadlet::convert::{Definition, links};
use b2p::helpers::quadlet::program::Program;
use b2p::helpers::quadlet::specifiers::{Owner, Specifiers};
use b2p::helpers::quadlet::unit::{Unit, split_output};
use b2p::helpers::quadlet::words::expand_variables;
use services::service_file::{MAX_FILE_BYTES, is_name, parse};

use crate::input::is_one_line;

pub(crate) const DICTIONARY: &[&str] = &[
    "---web.service---\n",
    "---core-x@.service---\n",
    "[Unit]\n",
    "[Service]\n",
    "[Install]\n",
    "ExecStart=/usr/bin/podman run --name=systemd-%N x\n",
    "ExecStop=-/bin/x",
    "Type=oneshot\n",
    "Type=forking\n",
    "Restart=always\n",
    "RestartSec=1min 3s\n",
    "RestartPreventExitStatus=3 SIGKILL\n",
    "Requires=db.service",
    "BindsTo=pod.service",
    "After=network-online.target",
    "PartOf=",
    "Wants=a@%i.service",
    "WantedBy=multi-user.target\n",
    "ConditionPathExists=|!/x\n",
    "MemoryMax=50%\n",
    "CPUQuota=12.5%\n",
    "LimitNOFILE=1:2\n",
    "UMask=0077\n",
    "OOMScoreAdjust=-900\n",
    "StandardOutput=append:/x\n",
    "StartLimitBurst=3\n",
    "WatchdogSec=3\n",
    "Environment=\"A=b c\" D=$A\n",
    "User=nobody\n",
    "\\x2d",
    "\\\n",
    "%%",
    "${A}",
    "\"",
    "'",
    ";",
];

/// Each unit becomes a service file that PID 1 takes, or an error of one line.
///
/// - The service runs `b2p unit-run` and nothing else, as the owner, with a name that a service may have.
/// - A user's service needs and names no service of another owner but those that stand for targets.
/// - Words of commands have no NUL, and a program is a whole path or a plain name.
pub fn units(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for uid in [0, 1000] {
        for (name, text) in split_output(&text) {
            check(name, &Unit::parse(text), uid);
        }
    }
}

fn check(name: &str, unit: &Unit, uid: u32) {
    let user = Owner {
        uid,
        gid: uid,
        name: if uid == 0 { "root" } else { "core" }.to_owned(),
        home: "/home/core".to_owned(),
    };
    let specifiers = Specifiers {
        unit: name.to_owned(),
        user,
        ..Specifiers::default()
    };
    match Definition::of(unit, &specifiers) {
        Err(why) => {
            let why = why.to_string();
            assert!(is_one_line(&why.replace(char::is_control, "")), "{why:?}");
        }
        Ok(definition) => check_definition(&definition, uid),
    }
    if let Ok(program) = Program::of(unit, &specifiers) {
        for command in program.commands.iter() {
            let argv = expand_variables(&command.argv, |_| None);
            assert!(argv.iter().all(|word| !word.contains('\0')), "{argv:?}");
            let program = command.argv.first().map_or("", String::as_str);
            assert!(
                program.starts_with('/') || !program.contains('/'),
                "{program}"
            );
        }
    }
}

fn check_definition(definition: &Definition, uid: u32) {
    let text = definition.service_file();
    let passwd = "root:x:0:0::/root:/bin/sh\ncore:x:1000:1000::/home/core:/bin/sh\n";
    assert!(is_name(&definition.service), "{}", definition.service);
    let parsed = match parse(&definition.service, text.as_bytes(), passwd, "") {
        Ok(parsed) => parsed,
        Err(why) => {
            assert!(text.len() > MAX_FILE_BYTES, "{why}: {text}");
            return;
        }
    };
    let service = &definition.service;
    assert_eq!(parsed.argv, [sys::paths::B2P, "unit-run", service.as_str()]);
    assert_eq!(parsed.user.as_ref().map_or(0, |user| user.uid), uid);
    let own = |name: &&str| {
        uid == 0 || name.starts_with("core-") || ["net", "time", "data"].contains(name)
    };
    let named = parsed
        .needs
        .iter()
        .chain(&parsed.binds)
        .chain(&parsed.after);
    assert!(named.copied().all(|name| own(&name)), "{text}");
    let links = links(&text);
    assert_eq!(links.needs, definition.needs);
    assert_eq!(links.wants, definition.wants);
    assert!(links.wants.iter().all(|name| own(&name.as_str())), "{text}");
}
