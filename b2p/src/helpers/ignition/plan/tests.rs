// SPDX-License-Identifier: Apache-2.0
#![allow(clippy::unwrap_used)]
use super::*;
use crate::common::testing::why;
use crate::helpers::ignition::storage::Owner;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAu27s6wBgRTcv8oHpNcxNCeiEKIY08S+emMug+zDo89 a";

/// Returns the plan of a document with these members, and the diagnostics.
pub fn plan(members: &str) -> (Plan, Vec<String>) {
    let text = format!("{{\"ignition\":{{\"version\":\"3.4.0\"}},{members}}}");
    let (plan, diagnostics) = parse(text.as_bytes()).unwrap();
    assert!(diagnostics.unsupported.is_empty());
    (plan, diagnostics.failed)
}

/// Returns the diagnostics of a document with these members.
fn faults(members: &str) -> Vec<String> {
    plan(members).1
}

#[test]
fn versions_from_3_0_to_3_5_are_accepted() {
    let parsed =
        |version: &str| parse(format!("{{\"ignition\":{{\"version\":{version}}}}}").as_bytes());
    for version in [
        "\"3.0.0\"",
        "\"3.2.0\"",
        "\"3.5.0\"",
        "\"3.5.0-experimental\"",
    ] {
        let (plan, diagnostics) = parsed(version).unwrap();
        assert_eq!(plan, Plan::default());
        assert!(diagnostics.failed.is_empty(), "{version}: {diagnostics:?}");
    }
    let newer = parsed("\"3.6.0\"").unwrap().1.failed;
    assert!(newer[0].contains("read as 3.5.0"), "{newer:?}");
    for version in [
        "\"2.3.0\"",
        "\"4.0.0\"",
        "\"3\"",
        "\"\"",
        "\"3.x.0\"",
        "3",
        "null",
    ] {
        assert!(why(parsed(version)).contains("3.0.0 to 3.5.0"), "{version}");
    }
    assert!(why(parse(b"{}")).contains("ignition.version"));
    let header = "{\"ignition\":{\"version\":\"3.3.0\",\"config\":{\"merge\":[{\"source\":\"http://x\"}],\
                  \"replace\":{\"verification\":{}}},\"proxy\":{},\"timeouts\":{\"httpTotal\":3}}}";
    let found = parse(header.as_bytes()).unwrap().1.failed;
    let fault = "ignition.config.merge[0].source: http: nothing is fetched at boot; must be a data: URL with the content";
    assert_eq!(found, [fault]);
}

#[test]
fn users_and_groups() {
    let (plan, faults) = plan(&format!(
        r#""passwd":{{"groups":[{{"name":"media","gid":44000}},{{"name":"dev","system":true}}],
        "users":[{{"name":"core","uid":1000,"sshAuthorizedKeys":["{KEY}"]}},
        {{"name":"bob","gecos":"Bob","homeDir":"/srv/bob","shell":"/bin/sh","groups":["dev","media"],
          "primaryGroup":"dev","noCreateHome":false,"system":false}},
        {{"name":"old","shouldExist":false}}]}}"#
    ));
    assert!(faults.is_empty(), "{faults:?}");
    let accounts = plan.accounts;
    let groups = [("media".to_owned(), Some(44000)), ("dev".to_owned(), None)];
    assert_eq!(accounts.groups, groups);
    assert_eq!(accounts.removed, ["old"]);
    let [core, bob] = &accounts.users[..] else {
        panic!("{:?}", accounts.users);
    };
    assert_eq!((core.account.uid, core.keys.len()), (Some(1000), 1));
    assert_eq!(bob.account.home.as_deref(), Some("/srv/bob"));
    assert_eq!(bob.account.groups, ["dev", "media", "dev"]);
}

#[test]
fn wrong_users_are_named_and_the_others_count() {
    let (plan, faults) = plan(&format!(
        r#""passwd":{{"users":[{{"name":"Bad Name"}},{{}},
        {{"name":"a","uid":4294967295,"homeDir":"rel","shell":"/bin/../sh","gecos":"a:b","groups":["no:pe"]}},
        {{"name":"b","passwordHash":"$y$","sshAuthorizedKeys":["{KEY}","secret words"],"x":{{"y":1}}}},
        {{"name":"c"}}]}}"#
    ));
    let names: Vec<_> = plan
        .accounts
        .users
        .iter()
        .map(|u| &*u.account.name)
        .collect();
    assert_eq!(names, ["a", "b", "c"]);
    for part in [
        "passwd.users[0].name: \"Bad Name\"",
        "passwd.users[1].name: \"\"",
        "passwd.users[2].uid: must be a number",
        "passwd.users[2].homeDir: must be an absolute path",
        "passwd.users[2].shell: must be an absolute path",
        "passwd.users[2].gecos: must be a line without a colon",
        "passwd.users[2].groups: \"no:pe\"",
        "passwd.users[3].passwordHash: there are no passwords",
        "passwd.users[3].sshAuthorizedKeys: 1 of 2 are no keys",
        "passwd.users[3].x: not supported",
    ] {
        assert!(
            faults.iter().any(|f| f.starts_with(part)),
            "{part}: {faults:?}"
        );
    }
    assert!(
        faults
            .iter()
            .all(|f| !f.contains("secret") && !f.contains("$y$"))
    );
}

#[test]
fn masked_units_of_the_machine_are_named_with_their_flag() {
    let unit = |members: &str| faults(&format!(r#""systemd":{{"units":[{{{members}}}]}}"#));
    for (name, flag) in [
        ("sshd.service", "b2p.sshd=off"),
        ("sshd.socket", "b2p.sshd=off"),
        ("podman.socket", "b2p.podman=off"),
        ("podman.service", "b2p.podman=off"),
        ("podman-restart.service", "b2p.off=containers"),
    ] {
        for how in [r#""mask":true"#, r#""enabled":false"#] {
            let found = unit(&format!(r#""name":"{name}",{how}"#));
            let line = format!("systemd.units[0]: {name}: the flag {flag} turns it off");
            assert_eq!(found, [line]);
        }
        assert!(unit(&format!(r#""name":"{name}","enabled":true"#)).is_empty());
    }
    assert!(unit(r#""name":"docker.socket","mask":true,"enabled":false"#).is_empty());
    assert!(unit(r#""name":"zincati.service","enabled":false"#).is_empty());
}

#[test]
fn directories_files_and_links() {
    let (plan, faults) = plan(
        r#""storage":{"directories":[{"path":"/srv/b/c","mode":448},{"path":"/srv/b","user":{"id":7}}],
        "files":[{"path":"/srv/b/f","mode":493,"user":{"name":"core"},"group":{},"overwrite":true,
          "contents":{"source":"data:,x%0A","verification":{}}},
          {"path":"/srv/only-mode"},
          {"path":"/srv/more","append":[{"source":"data:;base64,eA=="},{"source":null}]}],
        "links":[{"path":"/srv/l","target":"b/f"},{"path":"/srv/h","target":"/srv/b/f","hard":true}]}"#,
    );
    assert!(faults.is_empty(), "{faults:?}");
    let storage = plan.storage;
    let paths: Vec<_> = storage
        .directories
        .iter()
        .map(|d| (&*d.node.path, d.mode))
        .collect();
    assert_eq!(paths, [("/srv/b", None), ("/srv/b/c", Some(0o700))]);
    assert_eq!(storage.directories[0].node.user, Owner::Id(7));
    let [first, second, third] = &storage.files[..] else {
        panic!("{:?}", storage.files);
    };
    assert_eq!(
        (first.mode, first.node.overwrite),
        (Some(0o755), Some(true))
    );
    assert_eq!(first.content.as_ref().unwrap().bytes, b"x\n");
    assert_eq!(first.node.user, Owner::Name("core".into()));
    assert_eq!((second.mode, &second.content), (None, &None));
    assert_eq!(third.append.len(), 1);
    let hard: Vec<_> = storage.links.iter().map(|link| link.hard).collect();
    assert_eq!(hard[..2], [None, Some(true)]);
}

#[test]
fn wrong_rows_of_storage_are_named() {
    let (plan, faults) = plan(
        r#""storage":{"files":[{"path":"etc/x"},{"path":"/etc/../x"},{"path":"/proc/x"},{"path":"/"},
        {"path":"/a","mode":"0644"},{"path":"/b","mode":4096},{"path":"/c","user":{"id":1,"name":"x"}},
        {"path":"/d","contents":{"source":"https://x/y"}},{"path":"/e","contents":{"compression":"xz","source":"data:,"}},
        {"path":"/f","contents":{"source":"data:,a","verification":{"hash":"md5-1"}}},{"path":"/g","contents":{"source":7}},
        {"path":"/ok"}],
        "links":[{"path":"/l"},{"path":"/m","target":"../x","hard":true}],
        "disks":[{"device":"/dev/vda"}],"luks":[],"filesystems":[{}]}"#,
    );
    let paths: Vec<_> = plan.storage.files.iter().map(|f| &*f.node.path).collect();
    assert_eq!(paths, ["/ok"]);
    assert!(plan.storage.links.is_empty());
    for part in [
        "storage.files[0].path: \"etc/x\": must be an absolute path",
        "storage.files[1].path: \"/etc/../x\"",
        "storage.files[2].path: /proc/x: /proc has",
        "storage.files[3].path: \"/\"",
        "storage.files[4].mode: must be a number",
        "storage.files[5].mode: must be a number from 0 to 4095",
        "storage.files[6].user: must have id or name",
        "storage.files[7].contents.source: https: nothing is fetched",
        "storage.files[8].contents.compression: must be gzip",
        "storage.files[9].contents.verification.hash: must be sha512-",
        "storage.files[10].contents.source: must be a string",
        "storage.links[0].target: must be a path",
        "storage.links[1].target: must be a path",
        "storage.disks: not supported",
        "storage.filesystems: not supported",
    ] {
        assert!(
            faults.iter().any(|f| f.starts_with(part)),
            "{part}: {faults:?}"
        );
    }
}

#[test]
fn other_parts_of_a_document() {
    assert_eq!(
        faults(r#""kernelArguments":{"shouldExist":["a"]},"new":{"b":[]}"#),
        ["kernelArguments: not supported"]
    );
    assert_eq!(faults(r#""passwd":[]"#), ["passwd: must be an object"]);
}

/// Members that podman machine added to its document, by version, each with the faults that are right.
const OF_VERSIONS: &[(&str, &str, &[&str])] = &[
    (
        "5.5",
        r#""storage":{"files":[{"path":"/home/core/playbook.yaml","mode":484,"user":{"name":"core"},"contents":{"source":"data:,-%20hosts:%20all"}}]},
        "systemd":{"units":[{"name":"playbook.service","enabled":true,"contents":"[Unit]\nConditionFirstBoot=yes\n[Service]\nExecStart=/usr/bin/ansible-playbook /home/core/playbook.yaml\n"}]}"#,
        &["systemd.units[0]: playbook.service: there is no ansible"],
    ),
    (
        "5.6",
        r#""storage":{"files":[{"path":"/var/lib/systemd/linger/core","mode":420,"user":{"name":"root"},"group":{"name":"root"},"contents":{"verification":{}}},
        {"path":"/etc/systemd/zram-generator.conf","mode":420,"contents":{"source":"data:,%5Bzram0%5D%0Azram-size%3D512%0A"}}],
        "links":[{"path":"/etc/systemd/user/sockets.target.wants/podman.socket","target":"/usr/lib/systemd/user/podman.socket"},
        {"path":"/etc/localtime","target":"../usr/share/zoneinfo/America/New_York","overwrite":false,"hard":false}]}"#,
        &[],
    ),
    (
        "5.8",
        r#""systemd":{"units":[{"name":"home-ann.mount","enabled":true,"contents":"[Unit]\nDescription=Mount virtiofs\nAfter=immutable-root-off.service\n[Mount]\nWhat=a2a0ee2c717462feb1de2f5afd59de5fd2d8\nWhere=/home/ann\nType=virtiofs\nOptions=context=\"system_u:object_r:nfs_t:s0\"\n[Install]\nWantedBy=local-fs.target\n"},
        {"name":"immutable-root-off.service","enabled":true,"contents":"[Service]\nExecStart=/usr/bin/chattr -i /\n"},
        {"name":"immutable-root-on.service","enabled":true,"contents":"[Service]\nExecStart=/usr/bin/chattr +i /\n"}]}"#,
        &[],
    ),
    (
        "6.0",
        r#""storage":{"files":[{"path":"/etc/podman-machine","mode":420,"contents":{"source":"data:,qemu%0A","verification":{}}},
        {"path":"/etc/subuid","mode":484,"overwrite":true,"contents":{"source":"data:,core:100000:1000000%0A"}}]}"#,
        &[],
    ),
];

#[test]
fn members_that_versions_of_podman_machine_added_are_read() {
    for (version, members, right) in OF_VERSIONS {
        let (plan, faults) = plan(members);
        assert_eq!(faults.len(), right.len(), "{version}: {faults:?}");
        let pairs = faults.iter().zip(*right);
        for (fault, right) in pairs {
            assert!(fault.starts_with(right), "{version}: {fault}");
        }
        let rows = plan.storage.files.len() + plan.storage.links.len() + plan.units.len();
        let wanted = match *version {
            "5.5" | "5.8" => 1,
            "5.6" => 4,
            _ => 2,
        };
        assert_eq!(rows, wanted, "{version}: {plan:?}");
    }
}
