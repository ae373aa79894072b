// SPDX-License-Identifier: Apache-2.0
use super::tests::plan;
use super::*;

#[test]
fn units_with_and_without_an_effect() {
    let (plan, faults) = plan(
        r#""systemd":{"units":[{"name":"podman.socket","enabled":true},{"name":"zincati.service","enabled":false},
        {"name":"ready.service","enabled":true,"contents":"[Service]\nExecStart=/bin/true\n"},
        {"name":"other.timer","mask":true},{"name":"timer.timer","enabled":false},
        {"name":"mnt-src.mount","enabled":true,"contents":"[Unit]\n[Mount]\nWhat=0a1b\nWhere=/mnt/src\nType=virtiofs\nOptions=ro,context=\"system_u:object_r:nfs_t:s0\"\n"},
        {"name":"srv-d.mount","contents":"[Mount]\nWhat=LABEL=d\n# Where=/no\nWhere=/srv/d\nOptions=nofail,noatime\n"},
        {"name":"web.container","contents":"[Container]\nImage=x\n"}]}"#,
    );
    assert!(faults.is_empty(), "{faults:?}");
    let [
        Unit::Share(folder),
        Unit::Mount(mount),
        Unit::File(path, text),
    ] = &plan.units[..]
    else {
        panic!("{:?}", plan.units);
    };
    assert_eq!(
        (&*folder.tag, &*folder.path, folder.read_only),
        ("0a1b", "/mnt/src", true)
    );
    assert_eq!(
        (&*mount.source, &*mount.target, &*mount.fs_type),
        ("LABEL=d", "/srv/d", "auto")
    );
    assert_eq!((&*mount.options, mount.nofail), ("noatime", true));
    assert_eq!(
        (&**path, &**text),
        (
            "/etc/containers/systemd/web.container",
            "[Container]\nImage=x\n"
        )
    );
}

#[test]
fn the_ready_unit_names_the_port_on_which_its_host_waits() {
    let ready = |command: &str| {
        let text = format!("[Service]\\nType=oneshot\\nExecStart=/bin/sh -c '{command}'\\n");
        plan(&format!(
            r#""systemd":{{"units":[{{"name":"ready.service","enabled":true,"contents":"{text}"}}]}}"#
        ))
    };
    for (command, units) in [
        ("echo Ready >/dev/vport1p1", vec![]),
        (
            "echo Ready | socat - VSOCK-CONNECT:2:1025",
            vec![Unit::ReadyPort(1025)],
        ),
        (
            "echo Ready | socat VSOCK-CONNECT:2:4294967295 -",
            vec![Unit::ReadyPort(u32::MAX)],
        ),
        // Another machine is not told.
        ("echo Ready | socat - VSOCK-CONNECT:3:1025", vec![]),
    ] {
        let (plan, faults) = ready(command);
        assert!(faults.is_empty(), "{faults:?}");
        assert_eq!(plan.units, units, "{command}");
    }
    for port in ["", "x", "4294967296", "-1"] {
        let (plan, faults) = ready(&format!("socat - VSOCK-CONNECT:2:{port}"));
        assert!(plan.units.is_empty());
        assert!(
            faults[0].contains("ready.service: must be a port of vsock"),
            "{faults:?}"
        );
    }
}

#[test]
fn services_are_files_with_dropins_and_links() {
    let (plan, faults) = plan(
        r#""systemd":{"units":[{"name":"hello.service","enabled":true,"contents":"[Service]\n",
          "dropins":[{"name":"10-a.conf","contents":"[Service]\nUser=core\n"}]},
        {"name":"off.service","contents":"x"},{"name":"web@2.service","enabled":true},
        {"name":"gone.service","mask":true,"enabled":true},{"name":"no.service","enabled":false},
        {"name":"web.container","enabled":true,"contents":"[Container]\n","dropins":[{"name":"b.conf","contents":"b"}]},
        {"name":"podman-auto-update.timer","enabled":true}]}"#,
    );
    assert!(faults.is_empty(), "{faults:?}");
    let file = |path: &str, text: &str| Unit::File(format!("/etc/{path}"), text.to_owned());
    let wanted = [
        file("systemd/system/hello.service", "[Service]\n"),
        file(
            "systemd/system/hello.service.d/10-a.conf",
            "[Service]\nUser=core\n",
        ),
        Unit::Enable("hello.service".into()),
        file("systemd/system/off.service", "x"),
        Unit::Enable("web@2.service".into()),
        Unit::Off("/etc/systemd/system/gone.service".into()),
        Unit::Disable("no.service".into()),
        file("containers/systemd/web.container", "[Container]\n"),
        file("containers/systemd/web.container.d/b.conf", "b"),
        Unit::Updates,
    ];
    assert_eq!(plan.units, wanted);
}

#[test]
fn a_timer_of_the_document_is_a_file_and_enabled() {
    let timer = r#""systemd":{"units":[{"name":"a.timer","enabled":true,"contents":"[Timer]\n"},
        {"name":"b.timer","mask":true,"contents":"[Timer]\n"}]}"#;
    let (plan, faults) = plan(timer);
    assert!(faults.is_empty(), "{faults:?}");
    let path = |name: &str| format!("/etc/systemd/system/{name}");
    let wanted = [
        Unit::File(path("a.timer"), "[Timer]\n".to_owned()),
        Unit::Enable("a.timer".to_owned()),
        Unit::Off(path("b.timer")),
    ];
    assert_eq!(plan.units, wanted);
}

#[test]
fn units_that_are_not_supported_are_named() {
    for (unit, part) in [
        (
            r#"{"name":"x.socket","enabled":true,"contents":"[Socket]\n"}"#,
            "x.socket: units of this kind do not run",
        ),
        (
            r#"{"name":"x.path","enabled":true}"#,
            "x.path: there is no such unit",
        ),
        (
            r#"{"name":"x.service","dropins":[{"name":"a"}]}"#,
            "x.service: must be a drop-in with a name",
        ),
        (
            r#"{"name":"x.pod","dropins":[{"name":"../a.conf","contents":"a"}]}"#,
            "x.pod: must be a drop-in with a name",
        ),
        (
            r#"{"name":"sshd.service","dropins":[{"name":"a.conf"}]}"#,
            "sshd.service: its drop-ins have no effect",
        ),
        (
            r#"{"name":"playbook.service","contents":"x","enabled":true}"#,
            "playbook.service: there is no ansible",
        ),
        (
            r#"{"name":"../x.container","contents":"x"}"#,
            "../x.container: must be a name",
        ),
        (r#"{"name":"x"}"#, "x: must be a name"),
        (
            r#"{"name":"a.mount","contents":"[Mount]\nWhat=a\n"}"#,
            "a.mount: must have What= and Where=",
        ),
        (
            r#"{"name":"a.mount","contents":"[Mount]\nWhat=a\nWhere=/usr\nType=virtiofs\n"}"#,
            "a.mount: must have a tag of",
        ),
        (
            r#"{"name":"a.mount","contents":"[Mount]\nWhat=a\nWhere=b\n"}"#,
            "a.mount: must have a source",
        ),
    ] {
        let (plan, faults) = plan(&format!(r#""systemd":{{"units":[{unit}]}}"#));
        assert!(plan.units.is_empty(), "{unit}");
        let line = format!("systemd.units[0]: {part}");
        assert!(
            faults.iter().any(|f| f.starts_with(&line)),
            "{line}: {faults:?}"
        );
    }
}

/// podman machine 6 on Apple's hypervisors has its user's configuration of podman over `/etc/containers`.
#[test]
fn the_folder_of_podmans_configuration_is_a_mount() {
    let (plan, faults) = plan(
        r#""systemd":{"units":[{"name":"etc-containers.mount","enabled":true,"contents":"[Mount]\nWhat=a2a0\nWhere=/etc/containers\nType=virtiofs\nOptions=context=\"system_u:object_r:nfs_t:s0\"\n"}]}"#,
    );
    assert!(faults.is_empty(), "{faults:?}");
    let [Unit::Mount(mount)] = &plan.units[..] else {
        panic!("{:?}", plan.units);
    };
    assert_eq!(
        (&*mount.source, &*mount.target, &*mount.fs_type),
        ("a2a0", "/etc/containers", "virtiofs")
    );
}
