// SPDX-License-Identifier: Apache-2.0
//! cloud-init's NoCloud: Lima's use, and everything else that is supported.

use anyhow::{Result, ensure};
use std::fs;
use std::time::Duration;
use tests::disks::{self, Image, seed};
use tests::lima::{Instance, boot_done, probe};
use tests::{Checks, Guest, eventually, ignition, image, keyless};
use vmm::{Bus, Disk};

/// Time limit for work after the ready line, on a busy host.
const SCRIPTS: Duration = Duration::from_secs(120);

fn equals(guest: &Guest, script: &str, want: &str) -> Result<()> {
    let said = guest.sh(script)?;
    ensure!(said == want, "{script}: {said:?}, not {want:?}");
    Ok(())
}

/// Runs a probe of Lima's as its user.
fn asked(guest: &Guest, (command, stdin): &(String, String)) -> Result<()> {
    let out = guest.ssh_with("ann", command, stdin.as_bytes())?;
    tests::text(&out).map(drop)
}

#[test]
fn a_seed_of_lima_is_applied() -> Result<()> {
    let dir = disks::dir("cloud-lima")?;
    let key = Guest::public_key()?;
    let instance = Instance {
        user: "ann",
        uid: 1000, // as on most Linux hosts; core has it, too
        home: "/home/ann.guest",
        key: key.trim(),
        iid: "iid-1764000000",
        mac: "52:54:00:12:34:56",
        is_plain: true,
    };
    let files = instance.files("runcmd:\n- echo once >>/run/ran\n- [sleep, '100000']\n");
    let entries: Vec<_> = files
        .iter()
        .map(|(p, x, t)| (p.as_str(), *x, t.as_str()))
        .collect();
    let data = Image::blank(&dir, "data", 512)?;
    // The only key is on the CD, which is attached to virtio-scsi, as in Lima.
    let machine = keyless("cloud-lima")?
        .append("b2p.format=blank")
        .disk(Disk::raw(data.file()))
        .disk(Disk::iso(seed::iso(&dir, &entries)?).on(Bus::Scsi));
    let port = dir.join("port.sock");
    let machine = ignition::with_late_port(machine, &port);
    let guest = Guest::start(&machine)?;
    let mut checks = Checks::new("cloud-lima");
    checks.check(
        "ready is said, on the data disk, with nothing amiss",
        || {
            let ready = &guest.ready;
            ensure!(ready.degraded.is_empty(), "{:?}", ready.degraded);
            ensure!(ready.field("data").starts_with("/dev/vda"), "{ready:?}");
            Ok(())
        },
    );
    checks.check("Lima's probes, as its user", || {
        asked(&guest, &probe("true\n"))?;
        eventually(SCRIPTS, || asked(&guest, &boot_done(instance.iid)))?;
        let (command, stdin) = boot_done("other");
        let wrong = guest.ssh_with("ann", &command, stdin.as_bytes())?;
        ensure!(!wrong.status.success(), "any instance is the one");
        tests::lima::socket_is_forwarded(&guest, &instance)
    });
    checks.check("the user of the seed exists", || {
        let said = guest.sh_as("ann", "id -un; id -u; echo $HOME; sudo id -u; getent passwd ann || grep ^ann: /etc/passwd")?;
        ensure!(
            said == "ann\n1000\n/home/ann.guest\n0\nann:x:1000:1000:A Tester:/home/ann.guest:/bin/bash",
            "{said}"
        );
        // Rootless podman has subordinate ids for its containers' users.
        let said = guest.sh_as("ann", "XDG_RUNTIME_DIR=/run/user/1000 podman unshare cat /proc/self/uid_map")?;
        let map: Vec<_> = said.split_whitespace().collect();
        ensure!(map == ["0", "1000", "1", "1", "1100000", "65536"], "{said}");
        // Only that user has the key.
        ensure!(!guest.ssh_alone("core", "true")?.status.success(), "core has it, too");
        Ok(())
    });
    // The following commands run as root, by sudo.
    let root = |script: &str| guest.sh_as("ann", &format!("sudo sh -c '{script}'"));
    let is = |script: &str, want: &str| {
        let said = root(script)?;
        ensure!(said == want, "{script}: {said:?}, not {want:?}");
        Ok(())
    };
    checks.check("scripts of Lima run: system, user, plain mode", || {
        is("cat /run/provision-system; test ! -e /run/not-plain", "0")?;
        is(
            "cat /tmp/provision-user",
            "ann /home/ann.guest blue /run/user/1000",
        )
    });
    checks.check("name, zone, card", || {
        is(
            "hostname; readlink /etc/localtime; cat /sys/class/net/eth0/address",
            "lima-test\n/usr/share/zoneinfo/Europe/Berlin\n52:54:00:12:34:56",
        )
    });
    checks.check("a command that never ends holds nothing up, and runs once", || {
        eventually(SCRIPTS, || is("cat /run/ran", "once"))?;
        is("cat /var/lib/boot2podman/cloud/ran", instance.iid)?;
        // The same instance again: per-boot scripts run, the commands do not.
        root("umount /mnt/lima-cidata; rm /run/lima-boot-done; killall sleep; b2p stop cloud-scripts; b2p start cloud-scripts")?;
        eventually(SCRIPTS, || asked(&guest, &boot_done(instance.iid)))?;
        is("cat /run/ran", "once")
    });
    checks.check("a host that connects late is told, too", || {
        is("dmesg | grep -c \"[h]ost is told\" || true", "0")?;
        ignition::is_told_late(&port)?;
        eventually(SCRIPTS, || {
            is("dmesg | grep -c \"[o]pened its port now\"", "1")
        })
    });
    checks.check("done again, it changes nothing", || {
        let state = "cat /etc/passwd /etc/group /etc/subuid /etc/fstab /home/ann.guest/.ssh/authorized_keys | sha256sum; ls -la /etc/sudoers.d | wc -l";
        let before = root(state)?;
        root("b2p start cloud")?;
        is(state, &before)
    });
    checks.finish(&guest)
}

/// User-data; its first line is required, and nothing in the text is specific to Lima.
const USER_DATA: &str = r#"#cloud-config
hostname: box
fqdn: box.example.org
packages: [vim]
chpasswd: {list: "core:secret"}
users:
- default
- {name: bob, groups: [podman, builders], shell: /bin/sh}
write_files:
- {path: /srv/plain, content: "one\n", owner: "nobody:nogroup", permissions: '0600'}
- {path: /srv/plain, content: "two\n", append: true, permissions: '0640'}
- {path: /srv/b64, content: "cGFja2VkCg==", encoding: b64}
- {path: /srv/gz, content: @GZ@, encoding: gz+b64}
- {path: /srv/late, content: "late\n", owner: bob, defer: true}
- {path: /etc/environment, content: "OF_CLOUD=yes\n"}
bootcmd: [echo $HOME >/run/bootcmd]
runcmd:
- cat /srv/late /srv/gz >/run/runcmd
ca_certs:
  trusted:
  - |
    -----BEGIN CERTIFICATE-----
    MAZBQkNERUY=
    -----END CERTIFICATE-----
mounts:
- [shared, "/srv/a b", tmpfs, "size=1m"]
- [nothing, /srv/nothing, tmpfs, "no-such-option=1,nofail"]
- [nowhere, /srv/nowhere, tmpfs, "no-such-option=1"]
- [hiding, /usr/, tmpfs, "size=1m"]
"#;

/// Meta-data with the only key, in KubeVirt's format (pkg/cloud-init, `NoCloudMetadata`).
const META_DATA: &str = r#"{"instance-id":"one","local-hostname":"vmi","public-keys":{"0":"KEY"}}"#;

const NETWORK: &str = "version: 2
ethernets:
  uplink:
    match: {macaddress: '52:54:00:12:34:56'}
    set-name: lan
    addresses: [10.0.2.15/25]
    routes: [{to: default, via: 10.0.2.2}]
    nameservers: {addresses: [10.0.2.3, 192.0.2.53]}
";

/// The word `packed`, compressed by gzip and encoded in base64.
const PACKED: &str = "H4sIAAAAAAAAAytITM5OTeECAEPgQS8HAAAA";

#[test]
fn a_cidata_cd_and_an_ignition_document_are_applied_together() -> Result<()> {
    let dir = disks::dir("cloud-all")?;
    let user = USER_DATA.replace("@GZ@", PACKED);
    let meta = META_DATA.replace("KEY", Guest::public_key()?.trim());
    let entries = [
        ("user-data", false, user.as_str()),
        ("meta-data", false, &meta),
        ("network-config", false, NETWORK),
    ];
    // A CD on a slow bus, which is probed because the host announces a seed.
    let machine = keyless("cloud-all")?
        .append("b2p.data=off")
        .disk(Disk::iso(seed::iso(&dir, &entries)?))
        .qemu_args(&["-smbios", "type=1,serial=ds=nocloud"]);
    let machine = ignition::with_document(machine, &Guest::public_key()?, PACKED);
    let port = dir.join("port");
    let machine = ignition::with_open_port(machine, &port);
    let guest = Guest::start(&machine)?;
    let mut checks = Checks::new("cloud-all");
    checks.check("the host is told that the machine is ready", || {
        // The ready line itself is written a moment before.
        eventually(SCRIPTS, || {
            ensure!(fs::read(&port)? == b"Ready\n");
            Ok(())
        })
    });
    checks.check("Ignition's document, and again", || {
        ignition::is_applied(&guest)
    });
    checks.check("a document of 1 MB, beside a flag", || {
        ignition::was_read_at_once(&guest)
    });
    checks.check("a service of the document, after the ready line", || {
        eventually(SCRIPTS, || ignition::service_ran(&guest))
    });
    checks.check("commands of podman machine and Lima", || {
        ignition::commands_are_answered(&guest)
    });
    checks.check("faults of the seed are reported, and only those", || {
        let all = guest.ready.degraded.iter();
        let said: Vec<_> = all.map(|d| format!("{}: {}", d.what, d.why)).collect();
        let (count, said) = (said.len(), said.join("\n"));
        for part in [
            "cloud: chpasswd: there are no passwords",
            "cloud: mounts: /srv/nowhere: ",
            "cloud: mounts: hiding on /usr/: it would hide the machine's own files",
            "ignition: users: Max.M: uid: 150000 is a subordinate number of core",
            "docker.service.d/proxy.conf has no effect: there is no docker.service",
        ] {
            ensure!(said.contains(part), "{part} is not in\n{said}");
        }
        ensure!(count == 5 && !said.contains("secret"), "{said}");
        equals(
            &guest,
            "dmesg | grep -c 'cloud: packages is not supported'",
            "1",
        )
    });
    checks.check("root and core have the key", || {
        ensure!(guest.sh_as("core", "id -un; echo $OF_CLOUD")? == "core\nyes");
        equals(&guest, "id -un", "root")
    });
    checks.check(
        "a name, an address, servers and a gateway for the card",
        || {
            equals(&guest, "hostname", "crate")?;
            let all = guest.sh("ip -4 addr show dev lan; ip route; cat /etc/resolv.conf")?;
            for part in [
                "10.0.2.15/25",
                "default via 10.0.2.2 dev lan",
                "nameserver 192.0.2.53",
            ] {
                ensure!(all.contains(part), "{part} is not in\n{all}");
            }
            ensure!(guest.pids("b2p net")?.len() == 1, "the service runs once");
            // Nothing of the lease that there was before the document.
            equals(
                &guest,
                "ip -4 -o addr show dev lan | grep -c inet; ip -4 route show default | wc -l",
                "1\n1",
            )?;
            equals(&guest, "ip rule | grep -c 10.0.2.15", "1")
        },
    );
    checks.check("write_files are written", || {
        equals(
            &guest,
            "stat -c '%U:%G %a' /srv/plain; cat /srv/plain /srv/b64 /srv/gz",
            "root:root 640\none\ntwo\npacked\npacked",
        )
    });
    checks.check("another user, in groups", || {
        equals(
            &guest,
            "id -Gn bob; grep ^bob: /etc/passwd | cut -d: -f3,6,7; stat -c %U /home/bob; grep -c 1001.tmpfs /proc/mounts",
            "bob podman builders\n1001:/home/bob:/bin/sh\nbob\n1",
        )
    });
    checks.check("limits of a user of the document hold at the first login", || {
        let archive = fs::read(image::archive(guest.vm.dir())?)?;
        tests::text(&guest.ssh_with("eve", "podman load -q", &archive)?)?;
        let limits = "cat /proc/self/cgroup; podman run --rm --network none -m 32m --pids-limit 9 localhost/box:1 \
            cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max";
        let said = tests::text(&guest.ssh_alone("eve", limits)?)?;
        let wanted = "0::/user/1700/session\n33554432\n9";
        ensure!(said.trim() == wanted, "{said}");
        // The memory of a session is counted to its user.
        let used = guest.sh("cat /sys/fs/cgroup/user/1700/memory.peak")?;
        ensure!(used.parse::<u64>()? > 1 << 20, "{used}");
        Ok(())
    });
    checks.check("commands before and after, in their order", || {
        equals(&guest, "cat /run/bootcmd", "/root")?;
        eventually(SCRIPTS, || {
            equals(&guest, "cat /run/runcmd", "late\npacked")
        })?;
        equals(&guest, "stat -c %U /srv/late", "bob")?;
        eventually(SCRIPTS, || {
            guest
                .sh("test -e /var/lib/cloud/instance/boot-finished")
                .map(drop)
        })?;
        // Nothing is in RAM where a data disk that appears later would hide it.
        equals(&guest, "find /var/lib/boot2podman -type f", "")
    });
    checks.check("a further certificate authority is trusted once", || {
        guest.sh("b2p start cloud")?;
        equals(&guest, "grep -c '^MAZBQkNERUY=' /etc/ssl/certs/ca-certificates.crt; cat /usr/local/share/ca-certificates/*.crt | wc -l", "1\n3")
    });
    checks.check("possible mounts are made", || {
        equals(
            &guest,
            "grep -c '/srv/a.040b tmpfs' /proc/mounts; grep -c cloud-config /etc/fstab",
            "1\n1",
        )
    });
    checks.check("an announced CD drive that is missing is reported", || {
        guest.sh(
            "for d in /sys/bus/scsi/devices/[0-9]*; do echo 1 >$d/delete; done; b2p start cloud",
        )?;
        let said = guest.sh("cat /run/boot2podman/cloud.degraded")?;
        ensure!(said.contains("ds=nocloud, and there is no CD"), "{said}");
        Ok(())
    });
    checks.finish(&guest)
}

/// A disc on SATA that no setting announces, as with `-cdrom`: the boot does not wait for the disc,
/// which is applied when it appears.
#[test]
fn a_cidata_disc_without_an_announcement_by_the_host_is_applied_late() -> Result<()> {
    let dir = disks::dir("cloud-late")?;
    let key = Guest::public_key()?;
    let user = format!(
        "#cloud-config\nhostname: late\nuser: bob\nssh_authorized_keys:\n- {key}\nchpasswd:\n  expire: False\n\
         users:\n- default\npackage_upgrade: true\nruncmd:\n- echo once >>/run/ran\n"
    );
    let entries = [
        ("user-data", false, user.as_str()),
        ("meta-data", false, "instance-id: i-1\n"),
    ];
    let iso = seed::iso(&dir, &entries)?;
    let drive = format!(
        "if=none,id=seed,media=cdrom,readonly=on,file={}",
        iso.display()
    );
    let machine = keyless("cloud-late")?.memory_mib(768).qemu_args(&[
        "-drive",
        &drive,
        "-device",
        "ide-cd,drive=seed,bus=ide.0",
    ]);
    let guest = Guest::start(&machine)?;
    let mut checks = Checks::new("cloud-late");
    checks.check("the late seed is applied with its commands", || {
        eventually(SCRIPTS, || {
            equals(&guest, "hostname; cat /run/ran", "late\nonce")
        })
    });
    checks.check("the user of Proxmox VE's document is root by sudo", || {
        let said = guest.sh_as("bob", "id -Gn; sudo id -u")?;
        ensure!(said == "bob adm wheel sudo podman\n0", "{said}");
        equals(
            &guest,
            "test -s /run/boot2podman/cloud.degraded; echo $?",
            "1",
        )
    });
    checks.finish(&guest)
}
