// SPDX-License-Identifier: Apache-2.0
use super::*;

#[test]
fn no_user_takes_the_connections_of_others() {
    let mut users = Vec::new();
    for uid in (1_000..1_010).flat_map(|uid| [uid; 9]) {
        if may_connect(uid, &users) {
            users.push(uid);
        }
    }
    assert_eq!(users.len(), MAX_OTHERS);
    assert_eq!(users.iter().filter(|uid| **uid == 1_000).count(), MAX_ONE);
    for _ in 0..MAX_ROOT {
        assert!(may_connect(0, &users));
        users.push(0);
    }
    assert!(!may_connect(0, &users));
}

#[test]
fn calls_of_podman_and_others() {
    let call = |interface: &str, member: &str, arguments: &[&str]| Call {
        interface: interface.to_owned(),
        member: member.to_owned(),
        arguments: arguments.iter().map(|a| (*a).to_owned()).collect(),
        ..Call::default()
    };
    let job = |verb| Reaction::Job(verb, "web.service".to_owned());
    let web = ["web.service", "replace"];
    assert_eq!(
        react(&call(MANAGER, "RestartUnit", &web)),
        job(Verb::Restart)
    );
    assert_eq!(react(&call(MANAGER, "StopUnit", &web)), job(Verb::Stop));
    let bus = "org.freedesktop.DBus";
    assert_eq!(
        react(&call(bus, "AddMatch", &["type='signal'"])),
        Reaction::Agree
    );
    for (wrong, name) in [
        (
            call(bus, "StopUnit", &web),
            "org.freedesktop.DBus.Error.InvalidArgs",
        ),
        (
            call(MANAGER, "StopUnit", &[]),
            "org.freedesktop.DBus.Error.InvalidArgs",
        ),
        (
            call(MANAGER, "Reboot", &[]),
            "org.freedesktop.DBus.Error.UnknownMethod",
        ),
    ] {
        let reaction = react(&wrong);
        assert!(
            matches!(reaction, Reaction::Refuse(found, _) if found == name),
            "{reaction:?}"
        );
    }
}
