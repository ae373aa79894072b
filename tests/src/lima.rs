// SPDX-License-Identifier: Apache-2.0
//! Content of Lima's `cidata` disk for a machine in plain mode, and Lima's checks that the machine
//! is up.
//!
//! The texts are written for these tests after the templates of lima v2.2 (lima-vm/lima,
//! `pkg/cidata/cidata.TEMPLATE.d`, `pkg/hostagent/requirements.go`). Names, places and steps are
//! Lima's, because those must match.

use crate::Guest;
use anyhow::{Context, Result, ensure};

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
}

/// Path, true for a program, content.
pub type File = (&'static str, bool, String);

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
        let text = |s: &str| s.to_owned();
        vec![
            ("user-data", false, self.user_data(more)),
            (
                "meta-data",
                false,
                format!("instance-id: {}\nlocal-hostname: lima-test\n", self.iid),
            ),
            ("network-config", false, self.network()),
            ("lima.env", false, self.env()),
            ("param.env", false, text("PARAM_color=blue\n")),
            (
                "etc_environment",
                false,
                text("#LIMA-START\nTESTED=yes\n#LIMA-END\n"),
            ),
            ("boot.sh", true, text(BOOT)),
            (
                "boot.essential.Linux/00-test.sh",
                true,
                text("#!/bin/sh\ntest ! -f /etc/alpine-release\n"),
            ),
            (
                "boot.Linux/00-test.sh",
                true,
                text("#!/bin/sh\ntouch /run/not-plain\n"),
            ),
            (
                "provision.system/00000000",
                true,
                text("#!/bin/bash\nset -eux -o pipefail\nid -u >/run/provision-system\n"),
            ),
            (
                "provision.user/00000000",
                true,
                text(
                    "#!/bin/bash\nset -eux\necho \"$USER $HOME $PARAM_color $XDG_RUNTIME_DIR\" >/tmp/provision-user\n",
                ),
            ),
        ]
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
        format!(
            "LIMA_CIDATA_DEBUG=false\nLIMA_CIDATA_IID={iid}\nLIMA_CIDATA_NAME=test\nLIMA_CIDATA_USER={user}\nLIMA_CIDATA_UID={uid}\nLIMA_CIDATA_COMMENT=A Tester\nLIMA_CIDATA_HOME={home}\nLIMA_CIDATA_SHELL=/bin/bash\nLIMA_CIDATA_MOUNTS=0\nLIMA_CIDATA_PLAIN=1\nLIMA_CIDATA_PASSWORDLESS_SUDO=1\n"
        )
    }
}

/// Steps of Lima's boot.sh in plain mode.
const BOOT: &str = r#"#!/bin/sh
set -eu
rm -f /run/lima-boot-done
while read -r line; do [ -n "$line" ] && export "$line"; done <"${LIMA_CIDATA_MNT}"/lima.env
while read -r line; do [ -n "$line" ] && export "$line"; done <"${LIMA_CIDATA_MNT}"/param.env
while read -r line; do
    line="$(echo "$line" | sed -E "s/^[ \\t]*(export )?//; s/#.*//; s/(^[^=]+=)[\"'](.*[^\"'])?[\"']?$/\1\2/")"
    [ -n "$line" ] && export "$line"
done <"${LIMA_CIDATA_MNT}"/etc_environment
CODE=0
run() {
    for f in "$1"/*.sh; do
        echo "LIMA $(date -Iseconds)| Executing $f"
        "$f" || CODE=1
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

/// Returns Lima's last check: all scripts have run.
#[must_use]
pub fn boot_done(iid: &str) -> (String, String) {
    probe(&format!(
        "set -eux\nBOOT_DONE=/run/lima-boot-done\n[ \"$(cat \"$BOOT_DONE\" 2>/dev/null)\" = \"{iid}\" ]\n"
    ))
}

/// The parts of Lima's boot scripts beyond the plain mode, for a machine without OpenRC's and systemd's
/// managers: rootless containers and the guest agent (`boot.Linux/20-rootless-base.sh`,
/// `25-guestagent-base.sh`). The agent of this replay records its arguments.
pub const FULL_MODE: &str = r#"set -eux
mkdir -p /usr/local/bin
cat >/usr/local/bin/lima-guestagent <<'EOS'
#!/bin/sh
echo "$@" >>/run/agent-started
exec sleep 1000000
EOS
chmod 755 /usr/local/bin/lima-guestagent
if command -v systemctl >/dev/null 2>&1; then
    mkdir -p /etc/systemd/system/user@.service.d
    printf '[Service]\nDelegate=yes\n' >/etc/systemd/system/user@.service.d/lima.conf
    systemctl daemon-reload
fi
sed -i '/#LIMA-START/,/#LIMA-END/d' /etc/environment 2>/dev/null || true
printf '#LIMA-START\nLIMA_TESTED="a b"\nhttp_proxy=http://192.0.2.1:3128\n#LIMA-END\n' >>/etc/environment
loginctl terminate-user ann
echo net.ipv4.ip_unprivileged_port_start=0 >/etc/sysctl.d/99-lima-test.conf
sysctl --system
systemctl start systemd-logind.service
loginctl enable-linger ann
[ -f /sbin/openrc-run ]
printf 'LIMA_CIDATA_VSOCK_PORT="2222"\nLIMA_CIDATA_VIRTIO_PORT="io.lima-vm.guest_agent.0"\n' >/etc/conf.d/lima-guestagent
cat >/etc/init.d/lima-guestagent <<'EOS'
#!/sbin/openrc-run
supervisor=supervise-daemon
log_file="${log_file:-/var/log/${RC_SVCNAME}.log}"
supervise_daemon_args="--stderr \"${log_file}\""
name="lima-guestagent"
command=/usr/local/bin/lima-guestagent
command_args="daemon --debug=false --vsock-port \"${LIMA_CIDATA_VSOCK_PORT}\" --virtio-port \"${LIMA_CIDATA_VIRTIO_PORT}\""
command_background=true
pidfile="/run/lima-guestagent.pid"
EOS
chmod 755 /etc/init.d/lima-guestagent
rc-update add lima-guestagent default
rc-service --ifstarted lima-guestagent restart
rc-service --ifstopped lima-guestagent start
"#;

/// Expects that the variables that [`FULL_MODE`] writes to /etc/environment are in the user's sessions
/// and in podman.
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
