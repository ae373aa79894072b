// SPDX-License-Identifier: Apache-2.0
//! A host like podman machine: documents of Ignition in the forms of its versions, and the port on
//! which podman machine waits for a line.

use anyhow::{Context, Result, ensure};
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;
use vmm::Machine;

use crate::Guest;

/// Name of the port.
const PORT: &str = "org.fedoraproject.port.0";

/// Adds the port to a machine, with `chardev` as the host's end.
fn with_port(machine: Machine, chardev: &str) -> Machine {
    let port = format!("virtserialport,chardev=port,name={PORT}");
    let chardev = format!("{chardev},id=port");
    let controller = ["-device", "virtio-serial", "-chardev", &chardev];
    machine
        .qemu_args(&controller)
        .qemu_args(&["-device", &port])
}

/// Adds a port whose host has opened its end from the start: all received data is in `file`.
#[must_use]
pub fn with_open_port(machine: Machine, file: &Path) -> Machine {
    with_port(machine, &format!("file,path={}", file.display()))
}

/// Adds a port whose host connects to `socket` at any time.
#[must_use]
pub fn with_late_port(machine: Machine, socket: &Path) -> Machine {
    let path = socket.display();
    with_port(machine, &format!("socket,server=on,wait=off,path={path}"))
}

/// Connects as a host that has waited, and fails unless the line arrives.
///
/// # Errors
/// The host gets another text, or none.
pub fn is_told_late(socket: &Path) -> Result<()> {
    let mut host = UnixStream::connect(socket)?;
    host.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut line = [0; 6];
    host.read_exact(&mut line).context("the port")?;
    ensure!(&line == b"Ready\n", "{line:?}");
    Ok(())
}

/// A document with the parts that podman machine 5.4 to 6.0 write, in other words, and with
/// additions of a person. `KEY` is replaced by a key.
const DOCUMENT: &str = r#"{"ignition":{"version":"3.2.0","config":{"replace":{"verification":{}}},
  "proxy":{},"security":{"tls":{}},"timeouts":{}},
"passwd":{"groups":[{"name":"media","gid":44000}],"users":[
  {"name":"core","uid":1501,"sshAuthorizedKeys":["KEY"]},{"name":"root","sshAuthorizedKeys":["KEY"]},
  {"name":"Max.M","uid":150000,"sshAuthorizedKeys":["KEY"]},
  {"name":"eve","uid":1700,"groups":["sudo","media"],"sshAuthorizedKeys":["KEY"]}]},
"storage":{
  "directories":[{"path":"/home/core/.config/containers","mode":493,"user":{"name":"core"},"group":{"name":"core"}},
    {"path":"/home/core/.config","mode":448,"user":{"name":"core"},"group":{"name":"core"}}],
  "files":[
    {"path":"/home/core/.config/containers/containers.conf","mode":484,"user":{"name":"core"},"group":{"name":"core"},
      "contents":{"source":"data:,%5Bcontainers%5D%0Apids_limit%3D0%0A","verification":{}}},
    {"path":"/etc/subuid","mode":484,"overwrite":true,"user":{"name":"root"},"group":{"name":"root"},
      "contents":{"source":"data:,core:100000:900000","verification":{}}},
    {"path":"/etc/containers/podman-machine","mode":420,"group":{},"user":{},"contents":{"source":"data:,qemu%0A"}},
    {"path":"/etc/tmpfiles.d/podman-docker.conf","mode":420,"contents":{"source":"data:,L%2B%20/run/docker.sock%20-%20-%20-%20-%20/run/user/1501/podman/podman.sock%0A"}},
    {"path":"/etc/podman-machine","mode":420,"contents":{"source":"data:,qemu%0A"}},
    {"path":"/var/lib/systemd/linger/core","mode":420,"contents":{"verification":{}}},
    {"path":"/etc/systemd/zram-generator.conf","mode":420,"contents":{"source":"data:,%5Bzram0%5D%0Azram-size%3D64%0A"}},
    {"path":"/etc/environment.d/podman-machine-ssl.conf","mode":420,"contents":{"source":"data:,SSL_CERT_DIR%3D/etc/containers/certs.d%0A"}},
    {"path":"/etc/hostname","mode":420,"contents":{"source":"data:,crate%0A"}},
    {"path":"/etc/systemd/system/docker.service.d/proxy.conf","mode":420,"contents":{"source":"data:,"}},
    {"path":"/etc/sysctl.d/90-tested.conf","mode":420,"contents":{"source":"data:,vm.swappiness%20%3D%2013%0A"}},
    {"path":"/srv/packed","mode":2541,"user":{"id":1700},"group":{"name":"media"},
      "contents":{"compression":"gzip","source":"data:;base64,GZ"},"append":[{"source":"data:,more%0A"}]}],
  "links":[{"path":"/usr/local/bin/docker","target":"/usr/bin/podman","overwrite":true,"hard":false},
    {"path":"/etc/localtime","target":"../usr/share/zoneinfo/Asia/Tokyo","overwrite":false,"hard":false},
    {"path":"/etc/systemd/user/sockets.target.wants/podman.socket","target":"/usr/lib/systemd/user/podman.socket"}]},
"systemd":{"units":[{"name":"podman.socket","enabled":true},{"name":"zincati.service","enabled":false},
  {"name":"ready.service","enabled":true,"contents":"[Service]\nExecStart=/bin/sh -c 'echo Ready >/dev/vport1p1'\n"},
  {"name":"srv-scratch.mount","enabled":true,"contents":"[Mount]\nWhat=scratch\nWhere=/srv/scratch\nType=tmpfs\nOptions=size=1m\n"},
  {"name":"hello.service","enabled":true,"contents":"[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'echo hello $WHOM >/run/hello'\n[Install]\nWantedBy=multi-user.target\n",
    "dropins":[{"name":"10-whom.conf","contents":"[Service]\nEnvironment=WHOM=world\n"}]},
  {"name":"later.service","mask":true},
  {"name":"web.container","enabled":true,"contents":"[Container]\nImage=localhost/web\n"}]}}"#;

/// Lines of a long file, which makes a document as long as that of a host with its own certificates.
const LONG_LINES: usize = 110_000;

/// Adds [`DOCUMENT`] with a long file, and a flag, by fw_cfg. `KEY` is replaced by a key, `GZ` by the word `packed`,
/// compressed and in base64.
#[must_use]
pub fn with_document(machine: Machine, key: &str, packed: &str) -> Machine {
    let lines: String = (1..=LONG_LINES).map(|n| format!("{n:06}%0A")).collect();
    let long =
        format!(r#""files":[{{"path":"/srv/long","contents":{{"source":"data:,{lines}"}}}},"#);
    let document = DOCUMENT.replace("KEY", key.trim()).replace("GZ", packed);
    let document = document.replacen(r#""files":["#, &long, 1);
    machine
        .fw_cfg("opt/com.coreos/config", document.as_bytes())
        .fw_cfg("opt/org.boot2podman/blacklist", b"dummy")
}

/// Fails unless the long file has its original content, the document was read at once, and the flag
/// counts.
///
/// # Errors
/// The document was read page by page, the file is another, or the flag is not in the copy.
pub fn was_read_at_once(guest: &Guest) -> Result<()> {
    let script = format!(
        "seq -w {LONG_LINES} | cmp - /srv/long; dmesg | grep 'ignition: fw_cfg is read'
         cat /run/boot2podman/fw_cfg/blacklist/raw; b2p flags | grep -c 'blacklist .*fw_cfg'"
    );
    let said = guest.sh(&script)?;
    ensure!(said == "dummy1", "{said}");
    Ok(())
}

/// Script for the guest, and its output after the document was applied.
const STATE: (&str, &str) = (
    "stat -c '%U:%G %a' /home/core/.config/containers/containers.conf /home/core/.config /srv/packed
     stat -c %u:%g /home/core /run/user/1501/podman/podman.sock
     cat /etc/subuid /etc/containers/podman-machine /etc/podman-machine /srv/packed /etc/timezone
     readlink /run/docker.sock; readlink /usr/local/bin/docker; stat -c %U /home/Max.M; readlink /dev/virtio-ports/org.fedoraproject.port.0 | cut -c1-8; id -Gn eve; sudo -u eve sudo -n id -u
     grep -c zram0 /proc/swaps; grep -c '/srv/scratch tmpfs' /proc/mounts
     cat /etc/containers/systemd/web.container
     grep '^env' /usr/share/containers/containers.conf",
    "core:core 744\ncore:core 700\neve:media 4755\n1501:1501\n1501:1501\n\
     core:100000:900000\ncontainers:2147483647:2147483648\n",
);

/// Fails unless the guest has everything that [`DOCUMENT`] requests, also after a second
/// application.
///
/// # Errors
/// A part is missing.
pub fn is_applied(guest: &Guest) -> Result<()> {
    let said = guest.sh(STATE.0)?;
    ensure!(said.starts_with(STATE.1), "{said}");
    for part in [
        "qemu\nqemu\npacked\nmore\nAsia/Tokyo\n/run/user/1501/podman/podman.sock\n/usr/bin/podman\nMax.M\n../vport\n",
        "media",
        "\n0\n1\n1\n[Container]\nImage=localhost/web\n",
        "env = [\"OF_CLOUD=yes\", \"SSL_CERT_DIR=/etc/containers/certs.d\"]",
    ] {
        ensure!(said.contains(part), "{part:?} is not in\n{said}");
    }
    let again = guest.sh(&format!("b2p start ignition >/dev/null; {}", STATE.0))?;
    ensure!(again == said, "{again}\nafter\n{said}");
    Ok(())
}

/// Expects that the service of the document has run, with its drop-in, and that its name and setting count.
///
/// # Errors
/// The service has not run, or not yet.
pub fn service_ran(guest: &Guest) -> Result<()> {
    let script =
        "systemctl is-active hello; cat /run/hello; readlink /etc/systemd/system/later.service
        hostname; cat /etc/hostname; grep -c crate /etc/hosts; cat /proc/sys/vm/swappiness";
    let said = guest.sh(script)?;
    ensure!(
        said == "active\nhello world\n/dev/null\ncrate\ncrate\n1\n13",
        "{said}"
    );
    Ok(())
}

/// Commands that podman machine sends to root's bash at each start, for a host with proxies: for each variable, and then
/// once. Up to 5.7, bash's `%q` escapes the values; from 5.8 on, they are as they are, and there are users' services.
const PROXIES: [(&str, &str); 2] = [
    (
        r#"printf 'DefaultEnvironment="%s"\n' "$p" >>/etc/systemd/system.conf.d/default-env.conf
printf '%q\n' "$p" >>/etc/environment.d/default-env.conf
printf 'export %q\n' "$p" >>/etc/profile.d/default-env.sh"#,
        "mkdir -p /etc/profile.d /etc/environment.d /etc/systemd/system.conf.d/",
    ),
    (
        r#"printf 'DefaultEnvironment="%s"\n' "$p" >>/etc/systemd/system.conf.d/default-env.conf
printf 'DefaultEnvironment="%s"\n' "$p" >>/etc/systemd/user.conf.d/default-env.conf
printf '%s\n' "$p" >>/etc/environment.d/default-env.conf
printf 'export %s\n' "$p" >>/etc/profile.d/default-env.sh"#,
        "mkdir -p /etc/profile.d /etc/environment.d /etc/systemd/system.conf.d/ /etc/systemd/user.conf.d/",
    ),
];

/// Returns such a script for two variables.
fn proxy_script((each, first): (&str, &str)) -> String {
    format!(
        "{first}
rm -f /etc/systemd/*.conf.d/default-env.conf /etc/environment.d/default-env.conf /etc/profile.d/default-env.sh
for p in \"http_proxy=http://192.0.2.1:3128\" \"no_proxy=10.0.0.0/8,.example\"; do
{each}
done
systemctl daemon-reload
"
    )
}

/// Commands of hosts that have little or nothing to do, each with its output.
const COMMANDS: &[(&str, &str)] = &[
    ("loginctl enable-linger core && loginctl show-user core", "Linger=yes"),
    ("systemctl start systemd-logind.service && systemctl enable --now podman.socket", ""),
    (
        "mkdir -p /etc/tmpfiles.d
         echo 'L+ /run/docker.sock - - - - /run/podman/podman.sock' >/etc/tmpfiles.d/podman-docker.conf
         systemd-tmpfiles --create --prefix=/run/docker.sock && readlink /run/docker.sock",
        "/run/podman/podman.sock",
    ),
    (
        "sed -n '/BEGIN/,/END/{p;/END/q}' /etc/ssl/certs/ca-certificates.crt >/etc/pki/ca-trust/source/anchors/a.pem
         cp /etc/ssl/certs/ca-certificates.crt /run/before; update-ca-trust
         cmp /run/before /etc/ssl/certs/ca-certificates.crt",
        "",
    ),
    // Faults of files are named, and the reload succeeds, also in place of the boot's run: a start of podman machine
    // ends with its status.
    (
        "dir=/var/lib/boot2podman/services; mkdir -p $dir /etc/environment.d/x.conf; echo x >$dir/README.md
         rm /run/boot2podman/user-services.started
         systemctl daemon-reload 2>/run/said; echo $?; grep -c 'x.conf: \\|user-services: ' /run/said
         rm -r $dir/README.md /etc/environment.d/x.conf; systemctl daemon-reload 2>&1; echo $?",
        "0\n2\n0",
    ),
];

/// Fails unless the commands that hosts send have their effect, without output.
///
/// # Errors
/// A command fails, or prints something else.
pub fn commands_are_answered(guest: &Guest) -> Result<()> {
    for script in PROXIES.map(proxy_script) {
        let out = guest.ssh_with("root", "/usr/bin/bash", script.as_bytes())?;
        ensure!(
            out.status.success() && out.stdout.is_empty() && out.stderr.is_empty(),
            "{out:?}"
        );
        let env = guest.sh("grep '^env' /usr/share/containers/containers.conf")?;
        for part in [
            "http_proxy=http://192.0.2.1:3128",
            "no_proxy=10.0.0.0/8,.example",
        ] {
            ensure!(env.contains(part), "{env}");
        }
    }
    guest.sh("podman info >/run/info")?;
    // The commands of a host's `podman machine os`, which run in the machine and know only Fedora CoreOS.
    for command in ["os apply --restart=false localhost:1/none", "os upgrade"] {
        let out = guest.ssh("root", &format!("podman machine {command} </dev/null"))?;
        ensure!(
            !out.status.success() && !out.stderr.is_empty(),
            "{command}: {out:?}"
        );
    }
    for (command, output) in COMMANDS {
        let said = guest.sh(command)?;
        ensure!(said == *output, "{command}: {said:?}");
    }
    Ok(())
}
