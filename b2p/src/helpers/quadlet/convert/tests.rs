// SPDX-License-Identifier: Apache-2.0
//! Tests of service files that are made of units. Each is read by the parser of PID 1.
#![allow(clippy::unwrap_used)]

use services::{KillMode, ReadyWhen, Restart, ServiceDef};

use super::*;

fn owner(uid: u32) -> Owner {
    let name = if uid == 0 { "root" } else { "core" };
    Owner {
        uid,
        gid: uid,
        name: name.to_owned(),
        home: String::new(),
    }
}

fn define(name: &str, text: &str, uid: u32) -> Result<Definition> {
    let specifiers = Specifiers {
        unit: name.to_owned(),
        user: owner(uid),
        ..Specifiers::default()
    };
    Definition::of(&Unit::parse(text), &specifiers)
}

fn service(definition: &Definition) -> ServiceDef {
    let passwd = "core:x:1000:1000::/home/core:/bin/sh\n";
    let text = definition.service_file();
    let parsed = services::service_file::parse(&definition.service, text.as_bytes(), passwd, "");
    parsed.unwrap().leak()
}

const CONTAINER: &str = "[Unit]\nAfter=network-online.target db.service x.mount\nRequires=data-volume.service\n\
    Wants=network-online.target cache.service\n[Service]\nType=notify\nKillMode=mixed\nRestart=always\nRestartSec=3\n\
    MemoryMax=1M\nCPUQuota=50%\nRestartPreventExitStatus=3 SIGKILL TEMPFAIL 0\nExecStart=/usr/bin/podman run x\n\
    ExecStop=/usr/bin/podman rm x\n[Install]\nWantedBy=multi-user.target\n";

#[test]
fn a_container_unit_becomes_a_service_that_runs_unit_run() {
    let definition = define("web.service", CONTAINER, 0).unwrap();
    assert!(definition.at_boot);
    assert_eq!(definition.wants, ["net", "cache"]);
    let service = service(&definition);
    assert_eq!(service.argv, [B2P, "unit-run", "web"]);
    assert!(sys::service_names::runs_unit(service.argv));
    assert_eq!(
        (service.needs, service.after),
        (&["data-volume"][..], &["net", "db"][..])
    );
    assert_eq!(
        (service.ready, service.restart),
        (ReadyWhen::Notify, Restart::Always)
    );
    assert_eq!(
        (service.kill, service.final_statuses),
        (KillMode::Mixed, &[254, 3, 75][..])
    );
    assert_eq!(
        (service.grace_ms, service.late_ms, service.restart_ms),
        (275_000, 90_000, 3_000)
    );
    let limits = [("memory.max", "1048576"), ("cpu.max", "50000 100000")];
    assert_eq!((service.cgroup_files, service.user), (&limits[..], None));
}

#[test]
fn a_container_of_a_user_has_its_own_names() {
    let definition = define("web.service", CONTAINER, 1000).unwrap();
    let service = service(&definition);
    assert_eq!(
        (service.name, service.user.unwrap().uid),
        ("core-web", 1000)
    );
    assert_eq!(service.needs, ["core-data-volume"]);
    let owner = |uid, name: &str| Owner {
        uid,
        name: name.to_owned(),
        ..Owner::default()
    };
    let text = definition.service_file();
    let owners = [owner(1000, "core"), owner(1001, "cor"), owner(0, "root")];
    let belongs = owners.each_ref().map(|owner| belongs_to(&text, owner));
    assert_eq!(belongs, [true, false, false]);
    let text = define("web.service", CONTAINER, 0).unwrap().service_file();
    let belongs = owners.each_ref().map(|owner| belongs_to(&text, owner));
    assert_eq!(belongs, [false, false, true]);
    assert_eq!(service.after, ["net", "core-db"]);
    assert_eq!(service.env, ["XDG_RUNTIME_DIR=/run/user/1000"]);
}

#[test]
fn unit_types_and_restart_policies_are_converted() {
    let oneshot = "Type=oneshot\nRemainAfterExit=yes\n";
    for (text, ready, restart) in [
        ("", ReadyWhen::Notify, Restart::Never),
        (
            "Type=forking\nRestart=on-failure\n",
            ReadyWhen::Notify,
            Restart::OnFailure,
        ),
        (
            "Restart=on-success\n",
            ReadyWhen::Notify,
            Restart::OnSuccess,
        ),
        (
            "Type=oneshot\nRestart=always\n",
            ReadyWhen::Exit,
            Restart::OnFailure,
        ),
        // Remaining processes keep the unit up.
        (oneshot, ReadyWhen::Notify, Restart::Never),
        (
            &format!("{oneshot}Restart=always\n"),
            ReadyWhen::Notify,
            Restart::OnFailure,
        ),
        (
            &format!("{oneshot}ExecStop=/b\n"),
            ReadyWhen::Notify,
            Restart::Never,
        ),
    ] {
        let text = format!("[Service]\n{text}ExecStart=/a\n");
        let definition = define("a.service", &text, 0).unwrap();
        let service = service(&definition);
        assert_eq!((service.ready, service.restart), (ready, restart), "{text}");
        assert!(!definition.at_boot);
    }
}

#[test]
fn units_that_cannot_be_services_are_refused_with_a_reason() {
    for (name, text, right) in [
        (
            "a.service",
            "Type=oneshot\nExecStart=/a\nRestart=on-success",
            "no, always, on-failure",
        ),
        ("a.service", "ExecStart=/a\nRestart=yes", "no, always"),
        ("a.service", "ExecStart=/a\nRestartSec=infinity", "a time"),
        ("a.service", "ExecStart=/a\nMemoryMax=5x", "MemoryMax: 5x"),
        ("@.service", "ExecStart=/a", "no character"),
        ("a.service", "ExecStart=/a\nUser=nobody", "User=nobody"),
        ("a.service", "ExecStart=/a\nUMask=9", "UMask: 9: octal"),
        ("a.service", "ExecStart=/a\nLimitNOFILE=x", "LimitNOFILE: x"),
        (
            "a.service",
            "ExecStart=/a\n[Unit]\nConditionPathExists=/%d",
            "%d",
        ),
    ] {
        let why = define(name, &format!("[Service]\n{text}\n"), 0)
            .unwrap_err()
            .to_string();
        assert!(why.contains(right), "{text}: {why}");
    }
}

#[test]
fn dependencies_of_a_unit_are_in_its_service_file() {
    let text = "[Unit]\nBindsTo=p-pod.service\nPartOf=app.service\nWants=a@%i.service\nRequires=%p-x.service\n\
        [Service]\nExecStart=/a\nLimitNOFILE=infinity\nUMask=0077\n";
    let definition = define("web@1.service", text, 0).unwrap();
    assert_eq!(
        definition.pulled,
        ["web-x.service", "p-pod.service", "a@1.service"]
    );
    let service = service(&definition);
    assert_eq!(
        (service.binds, service.needs),
        (&["p-pod"][..], &["web-x", "p-pod"][..])
    );
    assert_eq!(
        (service.done_statuses, service.final_statuses),
        (&[253][..], &[254][..])
    );
    assert_eq!(
        (service.nofile, service.umask),
        ((1_048_576, 1_048_576), 0o077)
    );
    let links = links(&definition.service_file());
    let right = Links {
        needs: vec!["web-x".to_owned(), "p-pod".to_owned()],
        wants: vec!["a-1".to_owned()],
        part_of: vec!["app".to_owned()],
    };
    assert_eq!(links, right);
}

#[test]
fn a_user_does_not_protect_its_services_from_the_oom_killer() {
    let score = |score, uid| {
        let text = format!("[Service]\nExecStart=/a\nOOMScoreAdjust={score}\n");
        let definition = define("a.service", &text, uid)?;
        Result::Ok(service(&definition).oom_score_adj)
    };
    assert_eq!((score("-900", 0), score("500", 1000)), (Ok(-900), Ok(500)));
    for (text, uid) in [("-1", 1000), ("-1001", 0), ("1001", 0), ("soon", 0)] {
        let why = score(text, uid).unwrap_err().to_string();
        assert!(why.contains(&format!("{text}: a number")), "{why}");
    }
}

#[test]
fn units_name_others_and_pull_them_into_the_boot() {
    let texts = [
        (
            "pod.service",
            "[Unit]\nWants=db.service\nBefore=db.service\n[Install]\nWantedBy=default.target\n",
        ),
        (
            "db.service",
            "[Unit]\nBindsTo=pod.service\nRequires=vol.service\n",
        ),
        ("vol.service", ""),
        ("job.service", "[Install]\nRequiredBy=db.service\n"),
        ("log.service", "[Install]\nWantedBy=vol.service\n"),
        ("idle.service", ""),
    ];
    let units = texts.map(|(name, text)| {
        let text = format!("{text}[Service]\nExecStart=/a\n");
        (name.to_owned(), Unit::parse(&text))
    });
    let define = |(name, unit): &(String, Unit)| {
        let specifiers = Specifiers {
            unit: name.clone(),
            ..Specifiers::default()
        };
        Definition::of(unit, &specifiers).unwrap()
    };
    let mut definitions: Vec<Definition> = units.iter().map(define).collect();
    link(&mut definitions);
    let [_, db, vol, ..] = definitions.as_slice() else {
        panic!()
    };
    assert_eq!(
        (db.after.as_slice(), db.needs.as_slice()),
        (
            &["pod".to_owned()][..],
            &["vol", "pod", "job"].map(str::to_owned)[..]
        )
    );
    assert_eq!(vol.wants, ["log"]);
    let started: Vec<&str> = started_at_boot(&definitions)
        .iter()
        .map(|d| d.service.as_str())
        .collect();
    assert_eq!(started, ["pod", "db", "vol", "job", "log"]);
}

/// The section [Install] of a unit file is for `systemctl enable`, whose links are drop-ins here; that of a
/// quadlet is for the generator.
#[test]
fn no_unit_file_installs_itself() {
    let install = "[Install]\nWantedBy=web.service\nRequiredBy=web.service\n";
    let mut definitions = [
        ("web.service", ""),
        (
            "file.service",
            &format!("{install}[X-Unit]\nPath=/file.service\n"),
        ),
        ("quadlet@1.service", install),
        ("first@1.service", "[Unit]\nBefore=quadlet@%i.service\n"),
    ]
    .map(|(name, text)| define(name, &format!("{text}[Service]\nExecStart=/a\n"), 0).unwrap());
    link(&mut definitions);
    let web = &definitions[0];
    assert_eq!(
        (&web.wants[..], &web.needs[..]),
        (&["quadlet-1".to_owned()][..], &["quadlet-1".to_owned()][..])
    );
    assert_eq!(definitions[2].after, ["first-1"]);
}

#[test]
fn a_requisite_is_not_started_and_takes_its_dependents_with_it() {
    let text = "[Unit]\nRequisite=db.service\nAfter=db.service\n[Service]\nExecStart=/a\n";
    let definition = define("web.service", text, 0).unwrap();
    let none: &[String] = &[];
    assert_eq!((&*definition.needs, &*definition.pulled), (none, none));
    assert_eq!(
        (definition.part_of, definition.after),
        (vec!["db".to_owned()], vec!["db".to_owned()])
    );
    let specifiers = Specifiers {
        user: Owner {
            uid: 1000,
            name: "core".to_owned(),
            ..Owner::default()
        },
        ..Specifiers::default()
    };
    assert_eq!(requisites(&Unit::parse(text), &specifiers), ["core-db"]);
}

/// The line is that of podman's generator for a user.
#[test]
fn a_container_of_a_user_starts_after_the_network() {
    let text = "[Unit]\nWants=podman-user-wait-network-online.service\n\
        After=podman-user-wait-network-online.service\n[Service]\nExecStart=/a\n";
    let definition = define("web.service", text, 1000).unwrap();
    assert_eq!(
        (definition.wants.as_slice(), service(&definition).after),
        (&["net".to_owned()][..], &["net"][..])
    );
}

#[test]
fn a_link_to_a_unit_of_a_kind_that_is_not_read_is_named() {
    let text = "[Unit]\nAfter=x.target y.mount\nWants=network-online.target z.service podman.socket\nPartOf=app.target\n\
        Requires=data.mount\n[Service]\nExecStart=/a\n[Install]\nWantedBy=sysinit.target app.target\n";
    let definition = define("web.service", text, 0).unwrap();
    assert_eq!(
        definition.unknown_units,
        [
            "Requires=data.mount",
            "PartOf=app.target",
            "WantedBy=app.target"
        ]
    );
    assert!(definition.at_boot);
}
