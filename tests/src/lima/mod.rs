// SPDX-License-Identifier: Apache-2.0
//! Content of Lima's `cidata` disk for a machine in plain or in full mode, and Lima's checks that the machine
//! is up.
//!
//! The texts are written for these tests after the templates of lima v2.2 (lima-vm/lima,
//! `pkg/cidata/cidata.TEMPLATE.d`, `pkg/hostagent/requirements.go`). Names, places and steps are
//! Lima's, because those must match. [`with_scripts_of`] takes the scripts themselves from a checkout.

mod full;

use crate::Guest;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;

/// The instance that a disk is made for.
pub struct Instance<'a> {
    /// Name of its user.
    pub user: &'a str,
    /// Number of its user.
    pub uid: u32,
    /// Home of its user.
    pub home: &'a str,
    /// Public key that may log in.
    pub key: &'a str,
    /// Instance id, new at every start.
    pub iid: &'a str,
    /// MAC address of its card.
    pub mac: &'a str,
    /// True for a machine whose boot runs the scripts of the plain mode alone.
    pub is_plain: bool,
}

/// Path, true for a program, content.
pub type File = (String, bool, String);

/// End of the user-data, which is that of every instance.
const USER_DATA_END: &str = "\
manage_resolv_conf: true

resolv_conf:
  nameservers:
  - 10.0.2.3

bootcmd:
- |
  i=0
  until ip -4 addr show dev eth0 2>/dev/null | grep -q inet || [ $((i += 1)) -gt 30 ]; do
    sleep 1
  done
";

/// Beginning of user-data.
const USER_DATA_BEGIN: &str = "#cloud-config
# vim:syntax=yaml

growpart:
  mode: auto
  devices: ['/']

timezone: Europe/Berlin

";

/// Expects the user's podman at the socket that the template of the documentation has Lima forward.
///
/// # Errors
/// The template cannot be read or forwards no socket, or the user has no podman there.
pub fn socket_is_forwarded(guest: &Guest, instance: &Instance<'_>) -> Result<()> {
    let template = initramfs::paths::root().join("docs/guide/lima.yaml");
    let text = std::fs::read_to_string(template)?;
    let mut lines = text.lines();
    let socket = lines.find_map(|line| line.strip_prefix("- guestSocket: "));
    let socket = socket.context("no guestSocket")?.trim_matches('"');
    let socket = socket.replace("{{.UID}}", &instance.uid.to_string());
    let info =
        format!("podman --url unix://{socket} info --format '{{{{.Host.Security.Rootless}}}}'");
    let said = guest.sh_as(instance.user, &info)?;
    ensure!(said == "true", "{socket}: {said}");
    Ok(())
}

impl Instance<'_> {
    /// Returns all files. `more` is appended to user-data.
    #[must_use]
    pub fn files(&self, more: &str) -> Vec<File> {
        let meta = format!("instance-id: {}\nlocal-hostname: lima-test\n", self.iid);
        let texts = [
            ("user-data", self.user_data(more)),
            ("meta-data", meta),
            ("network-config", self.network()),
            ("lima.env", self.env()),
            ("param.env", "PARAM_color=blue\n".to_owned()),
            ("etc_environment", ETC_ENVIRONMENT.to_owned()),
        ];
        let mut files: Vec<File> = texts
            .map(|(path, text)| (path.to_owned(), false, text))
            .into();
        let program = |path: String, text: &str| (path, true, text.to_owned());
        files.extend(PROGRAMS.map(|(path, text)| program(path.to_owned(), text)));
        match self.is_plain {
            true => files.push(program(
                "boot.Linux/00-test.sh".to_owned(),
                "#!/bin/sh\ntouch /run/not-plain\n",
            )),
            false => {
                let scripts = full::SCRIPTS.iter();
                files.extend(
                    scripts.map(|(name, text)| program(format!("boot.Linux/{name}"), text)),
                );
                for (path, text) in full::PROGRAMS {
                    files.push(program((*path).to_owned(), text));
                }
            }
        }
        files
    }

    fn user_data(&self, more: &str) -> String {
        let Instance {
            user, uid, home, ..
        } = self;
        let key = self.key;
        format!(
            r#"{USER_DATA_BEGIN}users:
  - name: "{user}"
    uid: "{uid}"
    gecos: "A Tester"
    homedir: "{home}"
    shell: /bin/bash
    sudo: ALL=(ALL) NOPASSWD:ALL
    lock_passwd: true
    ssh-authorized-keys:
      - "{key}"

write_files:
 - content: |
      #!/bin/sh
      set -eux
      LIMA_CIDATA_MNT="/mnt/lima-cidata"
      LIMA_CIDATA_DEV="/dev/disk/by-label/cidata"
      mkdir -p -m 700 "${{LIMA_CIDATA_MNT}}"
      mount -o ro,mode=0700,dmode=0700,overriderockperm,exec,uid=0 "${{LIMA_CIDATA_DEV}}" "${{LIMA_CIDATA_MNT}}"
      export LIMA_CIDATA_MNT
      exec "${{LIMA_CIDATA_MNT}}"/boot.sh
   owner: root:root
   path: /var/lib/cloud/scripts/per-boot/00-lima.boot.sh
   permissions: '0755'

{USER_DATA_END}{more}"#
        )
    }

    fn network(&self) -> String {
        format!(
            "version: 2\nethernets:\n  eth0:\n    match:\n      macaddress: '{}'\n    dhcp4: true\n    set-name: eth0\n    dhcp4-overrides:\n      route-metric: 200\n    dhcp-identifier: mac\n    nameservers:\n      addresses:\n      - 10.0.2.3\n",
            self.mac
        )
    }

    fn env(&self) -> String {
        let Instance {
            user,
            uid,
            home,
            iid,
            ..
        } = self;
        let plain = if self.is_plain { "1" } else { "" };
        let own = format!(
            "IID={iid}\nNAME=test\nUSER={user}\nUID={uid}\nCOMMENT=A Tester\nHOME={home}\nSHELL=/bin/bash\nPLAIN={plain}\n"
        );
        let lines = own.lines().chain(SETTINGS.lines());
        lines.map(|line| format!("LIMA_CIDATA_{line}\n")).collect()
    }
}

/// Settings of every instance under QEMU on Linux and macOS, after `LIMA_CIDATA_`: there the agent has a socket of
/// its own, and the host agent answers requests for names on two ports.
const SETTINGS: &str = "\
DEBUG=false
HOSTHOME_MOUNTPOINT=
MOUNTS=0
MOUNTTYPE=virtiofs
DISKS=0
GUEST_INSTALL_PREFIX=/usr/local
UPGRADE_PACKAGES=
CONTAINERD_USER=
CONTAINERD_SYSTEM=
SLIRP_DNS=10.0.2.3
SLIRP_GATEWAY=10.0.2.2
SLIRP_IP_ADDRESS=10.0.2.15
UDP_DNS_LOCAL_PORT=10053
TCP_DNS_LOCAL_PORT=10054
ROSETTA_ENABLED=false
ROSETTA_BINFMT=false
SKIP_DEFAULT_DEPENDENCY_RESOLUTION=
VMTYPE=qemu
VSOCK_PORT=0
VIRTIO_PORT=
NO_CLOUD_INIT=
PASSWORDLESS_SUDO=1
";

/// Variables of Lima's `env:` and of the host's proxies.
const ETC_ENVIRONMENT: &str =
    "#LIMA-START\nTESTED=yes\nLIMA_TESTED=\"a b\"\nhttp_proxy=http://192.0.2.1:3128\n#LIMA-END\n";

/// Programs of every instance.
const PROGRAMS: [(&str, &str); 4] = [
    ("boot.sh", BOOT),
    (
        "boot.essential.Linux/00-test.sh",
        "#!/bin/sh\ntest ! -f /etc/alpine-release\n",
    ),
    (
        "provision.system/00000000",
        "#!/bin/bash\nset -eux -o pipefail\nid -u >/run/provision-system\n",
    ),
    (
        "provision.user/00000000",
        "#!/bin/bash\nset -eux\necho \"$USER $HOME $PARAM_color $XDG_RUNTIME_DIR\" >/tmp/provision-user\n",
    ),
];

/// Replaces the scripts by those of a checkout of lima, which has no templates among them.
///
/// # Errors
/// The checkout lacks them.
pub fn with_scripts_of(checkout: &Path, mut files: Vec<File>) -> Result<Vec<File>> {
    files.retain(|(path, ..)| !path.starts_with("boot.") && !path.starts_with("util/"));
    let root = checkout.join("pkg/cidata/cidata.TEMPLATE.d");
    let text = |path: &str| fs::read_to_string(root.join(path)).with_context(|| path.to_owned());
    files.push(("boot.sh".to_owned(), true, text("boot.sh")?));
    for dir in ["boot.essential.Linux", "boot.Linux", "util"] {
        for entry in fs::read_dir(root.join(dir)).with_context(|| dir.to_owned())? {
            let path = format!("{dir}/{}", entry?.file_name().to_string_lossy());
            let script = text(&path)?;
            files.push((path, true, script));
        }
    }
    Ok(files)
}

/// Steps of Lima's boot.sh.
const BOOT: &str = r#"#!/bin/sh
set -eu
rm -f /run/lima-boot-done
while read -r line; do [ -n "$line" ] && export "$line"; done <"${LIMA_CIDATA_MNT}"/lima.env
while read -r line; do [ -n "$line" ] && export "$line"; done <"${LIMA_CIDATA_MNT}"/param.env
while read -r line; do
    line="$(echo "$line" | sed -E "s/^[ \\t]*(export )?//; s/#.*//; s/(^[^=]+=)[\"'](.*[^\"'])?[\"']?$/\1\2/")"
    [ -n "$line" ] && export "$line"
done <"${LIMA_CIDATA_MNT}"/etc_environment
PATH="${LIMA_CIDATA_MNT}"/util:"${PATH}"
export PATH
CODE=0
run() {
    for f in "$1"/*.sh; do
        echo "LIMA $(date -Iseconds)| Executing $f"
        if ! "$f"; then
            echo "LIMA $(date -Iseconds)| WARNING: Failed to execute $f"
            CODE=1
        fi
    done
}
run "${LIMA_CIDATA_MNT}/boot.essential.$(uname -s)"
[ "$LIMA_CIDATA_PLAIN" = 1 ] || run "${LIMA_CIDATA_MNT}/boot.$(uname -s)"
for f in "${LIMA_CIDATA_MNT}"/provision.system/*; do
    "$f" || CODE=1
done
USER_SCRIPT="${LIMA_CIDATA_HOME}/.lima-user-script"
if [ ! -f /sbin/openrc-run ]; then
    until [ -e "/run/user/${LIMA_CIDATA_UID}/systemd/private" ]; do sleep 3; done
fi
params=$(grep -o '^PARAM_[^=]*' "${LIMA_CIDATA_MNT}"/param.env | paste -sd , -)
for f in "${LIMA_CIDATA_MNT}"/provision.user/*; do
    cp "$f" "${USER_SCRIPT}"
    chown "${LIMA_CIDATA_USER}" "${USER_SCRIPT}"
    chmod 755 "${USER_SCRIPT}"
    sudo -iu "${LIMA_CIDATA_USER}" "--preserve-env=${params}" "XDG_RUNTIME_DIR=/run/user/${LIMA_CIDATA_UID}" "${USER_SCRIPT}" || CODE=1
    rm "${USER_SCRIPT}"
done
echo "${LIMA_CIDATA_IID}" >/run/lima-boot-done
echo "LIMA $(date -Iseconds)| Exiting with code $CODE"
exit "$CODE"
"#;

/// Returns the command by which Lima runs a script over ssh, and the script for its standard input
/// (`prefixExportParam`, and sshocker's `ExecuteScript`).
#[must_use]
pub fn probe(body: &str) -> (String, String) {
    let params = r#"param_env="$(sudo cat /mnt/lima-cidata/param.env)"; while read -r line; do [ -n "$line" ] && export "$line"; done<<EOF\n${param_env}\nEOF\n"#;
    let command = format!("/bin/bash -c \"$(printf '{params}/bin/sh')\"");
    let script = format!("#!{command}\n#!/bin/sh\n{body}");
    (command, script)
}

/// Returns Lima's check of the full mode: sessions that begin now have the variables of /etc/environment.
#[must_use]
pub fn ssh_ready(iid: &str) -> (String, String) {
    probe(&format!(
        "set -eux\n[ \"$(cat /run/lima-ssh-ready 2>/dev/null)\" = \"{iid}\" ]\n"
    ))
}

/// Returns Lima's last check: all scripts have run.
#[must_use]
pub fn boot_done(iid: &str) -> (String, String) {
    probe(&format!(
        "set -eux\nBOOT_DONE=/run/lima-boot-done\n[ \"$(cat \"$BOOT_DONE\" 2>/dev/null)\" = \"{iid}\" ]\n"
    ))
}

/// Expects that the variables that the full mode writes to /etc/environment are in the user's sessions and in podman.
///
/// # Errors
/// A variable is missing.
pub fn environment_counts(guest: &Guest, user: &str) -> Result<()> {
    let script = "echo $LIMA_TESTED; bash -lc 'echo $http_proxy'
        grep -c http_proxy=http /usr/share/containers/containers.conf";
    let said = crate::text(&guest.ssh_alone(user, script)?)?;
    ensure!(said.trim() == "a b\nhttp://192.0.2.1:3128\n1", "{said:?}");
    Ok(())
}

/// The agent's script of Lima 1.0, whose settings are in the environment of rc-service alone, and the
/// checks of that version, which compare files.
pub const AGENT_OF_1_0: &str = r#"set -eux
rm /etc/conf.d/lima-guestagent
cat >/etc/init.d/lima-guestagent <<'EOS'
#!/sbin/openrc-run
supervisor=supervise-daemon
log_file="${log_file:-/var/log/${RC_SVCNAME}.log}"
supervise_daemon_args="${supervise_daemon_opts:---stderr \"${log_file}\"}"
name="lima-guestagent"
command=${LIMA_CIDATA_GUEST_INSTALL_PREFIX}/bin/lima-guestagent
command_args="daemon --debug=${LIMA_CIDATA_DEBUG} --vsock-port \"${LIMA_CIDATA_VSOCK_PORT}\" --virtio-port \"${LIMA_CIDATA_VIRTIO_PORT}\""
command_background=true
EOS
export LIMA_CIDATA_GUEST_INSTALL_PREFIX=/usr/local LIMA_CIDATA_DEBUG=true
export LIMA_CIDATA_VSOCK_PORT=0 LIMA_CIDATA_VIRTIO_PORT=io.lima-vm.guest_agent.0
rc-update add lima-guestagent default
rc-service lima-guestagent start
rc-service lima-guestagent start
cp /mnt/lima-cidata/meta-data /run/lima-test-done
diff -q /run/lima-test-done /mnt/lima-cidata/meta-data
"#;
