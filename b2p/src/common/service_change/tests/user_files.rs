// SPDX-License-Identifier: Apache-2.0
//! Tests of services whose files are the user's.

use super::*;

#[test]
fn a_service_of_ones_own_is_handed_over_first() {
    let fake = Fake::new(
        "own",
        "service sshd up pid=3",
        &["service web up pid=7 since=6"],
    );
    fake.own("web", "exec /bin/web\n");
    assert!(fake.run(Verb::Start, "web").is_ok());
    assert_eq!(fake.asked(), ["load web", "start web"]);
    assert_eq!(
        fs::read(fake.env.loaded_files.join("web")).unwrap(),
        b"exec /bin/web\n"
    );
    assert_eq!(
        load_main(&fake.env, &["refused".to_owned()]),
        1,
        "no such file"
    );
    fake.own("refused", "nonsense");
    assert_eq!(load_main(&fake.env, &["refused".to_owned()]), 1);
    assert_eq!(fake.asked()[2..], ["load refused"]);
}

#[test]
fn a_restart_takes_a_changed_file() {
    let fake = Fake::new(
        "changed",
        "service web up pid=7 since=6 own=1",
        &["service web off since=8", "service web up pid=9 since=9"],
    );
    fake.own("web", "exec /bin/new\n");
    assert!(fake.run(Verb::Restart, "web").is_ok());
    assert_eq!(fake.asked(), ["stop web", "load web", "restart web"]);
    let fake = Fake::new(
        "same",
        "service web up pid=7 since=6 own=1",
        &["service web up pid=9 since=9"],
    );
    fake.own("web", "exec /bin/old\n");
    service_files::stage(
        &fake.env.user_files,
        &fake.env.loaded_files,
        &Name::new("web").unwrap(),
    )
    .unwrap();
    assert!(fake.run(Verb::Restart, "web").is_ok());
    assert_eq!(fake.asked(), ["restart web"]);
}

#[test]
fn a_restart_with_a_file_that_is_wrong_stops_nothing() {
    let up = "service web up pid=7 since=6 own=1";
    let fake = Fake::new("wrong", up, &["service web off since=8"]);
    fake.own("web", "exec new\n");
    let why = fake.run(Verb::Restart, "web").unwrap_err();
    assert!(why.starts_with("web:1: exec: new: "), "{why}");
    assert_eq!(fake.asked(), [""; 0]);
}

#[test]
fn a_file_by_the_name_of_a_service_of_the_machine_is_not_taken() {
    let up = "service sshd up pid=7 since=6";
    let fake = Fake::new("machine", up, &["service sshd up pid=9 since=8"]);
    fake.own("sshd", "exec /bin/other\n");
    assert!(fake.run(Verb::Restart, "sshd").is_ok());
    assert_eq!(fake.asked(), ["restart sshd"]);
    // PID 1 refuses the file, and reports the refusal in the machine's status.
    assert_eq!(reload(&fake.env), 0);
    assert_eq!(fake.asked()[1..], ["load sshd"]);
}

#[test]
fn reload_loads_files_of_services_without_a_process() {
    let before = "service web up pid=7 own=1\nservice job done own=1\n";
    let fake = Fake::new("reload", before, &[""]);
    for name in ["web", "job", "fresh", "Bad"] {
        fake.own(name, "exec /bin/x\n");
    }
    assert_eq!(reload(&fake.env), 1, "one has no name");
    assert_eq!(fake.asked(), ["load fresh", "load job"]);
}
