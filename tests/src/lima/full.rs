// SPDX-License-Identifier: Apache-2.0
//! Lima's boot scripts beyond the plain mode, step by step and under Lima's names, which other scripts use
//! (`pkg/cidata/cidata.TEMPLATE.d/boot.Linux`). Steps for other systems, such as Alpine and Fedora, end at once in
//! this machine and are left out, except for the questions by which a script finds out that it has nothing to do.

/// Programs beside the scripts.
pub const PROGRAMS: &[(&str, &str)] = &[
    ("lima-guestagent", AGENT),
    ("util/compare_version.sh", COMPARE_VERSION),
];

/// Guest agent of this replay: it records its arguments.
const AGENT: &str = "#!/bin/sh\necho \"$@\" >>/run/agent-started\nexec sleep 1000000\n";

/// Comparison of two versions, for scripts: `compare_version.sh A -lt|-ge B`.
const COMPARE_VERSION: &str = r#"#!/bin/sh
lower=$(printf '%s\n' "$1" "$3" | sort -V | head -n 1)
case $2 in
-lt) [ "$1" != "$3" ] && [ "$lower" = "$1" ] ;;
-ge) [ "$lower" = "$3" ] ;;
esac
"#;

/// The scripts, in the order of their names.
pub const SCRIPTS: &[(&str, &str)] = &[
    (
        "00-check-rtc-and-wait-ntp.sh",
        "#!/bin/sh\nset -eu\ntest ! -c /dev/rtc0 || exit 0\ntimedatectl show --property=NTPSynchronized\n",
    ),
    (
        "00-modprobe.sh",
        "#!/bin/sh\nset -eu\nfor module in fuse tun veth nf_tables xt_MASQUERADE overlay; do
    modprobe \"$module\" || echo >&2 \"no module $module\"\ndone\n",
    ),
    (
        "00-systemd-user-group.sh",
        r#"#!/bin/sh
set -eu
[ "${LIMA_CIDATA_UID}" -lt 1000 ] || exit 0
getent group systemd-journal >/dev/null 2>&1 || exit 0
usermod -aG systemd-journal "${LIMA_CIDATA_USER}"
"#,
    ),
    (
        "04-persistent-data-volume.sh",
        "#!/bin/bash\nset -eux -o pipefail\ntest -f /etc/alpine-release || exit 0\nexit 1\n",
    ),
    (
        "05-guest-home.sh",
        r#"#!/bin/sh
set -eu
for pair in guest:linux linux:guest; do
    from=/home/${LIMA_CIDATA_USER}.${pair%:*} to=/home/${LIMA_CIDATA_USER}.${pair#*:}
    if [ -d "$from" ] && [ ! -e "$to" ]; then ln -s "${from##*/}" "$to"; fi
done
"#,
    ),
    ("05-lima-disks.sh", DISKS),
    (
        "05-lima-mounts.sh",
        "#!/bin/bash\nset -eux -o pipefail\n[[ ${LIMA_CIDATA_VMTYPE} == vz ]] || exit 0\ngrep -q virtiofs /etc/fstab\n",
    ),
    (
        "06-enable-mdns-on-systemd.sh",
        "#!/bin/bash\nset -eux -o pipefail\nif [[ -f /sbin/openrc-run ]]; then exit 0; fi\nresolvectl status\n",
    ),
    (
        "06-etc-hosts.sh",
        r#"#!/bin/bash
set -eux -o pipefail
sed -i '/host.lima.internal/d' /etc/hosts
echo -e "${LIMA_CIDATA_SLIRP_GATEWAY}\thost.lima.internal" >>/etc/hosts
"#,
    ),
    ("07-etc-environment.sh", ENVIRONMENT),
    ("09-host-dns-setup.sh", DNS),
    (
        "11-colorterm-environment.sh",
        r#"#!/bin/sh
set -eux
if [ -d /etc/ssh/sshd_config.d ]; then
    echo "AcceptEnv COLORTERM" >/etc/ssh/sshd_config.d/10-acceptenv-colorterm.conf
elif ! grep -q COLORTERM /etc/ssh/sshd_config; then
    sed -i 's/^AcceptEnv LANG LC_\*$/AcceptEnv COLORTERM LANG LC_*/' /etc/ssh/sshd_config
fi
if [ -f /sbin/openrc-run ]; then
    for name in ssh sshd; do
        if [ -f etc/init.d/$name ]; then rc-service --ifstarted $name reload; fi
    done
elif systemctl -q is-active sshd; then
    systemctl reload sshd
fi
"#,
    ),
    ("20-rootless-base.sh", ROOTLESS),
    ("25-guestagent-base.sh", AGENT_SCRIPT),
    (
        "26-host-services.sh",
        r#"#!/bin/bash
set -eux
mkdir -p /run/host-services
chmod 700 /run/host-services
chown -R "${LIMA_CIDATA_USER}" /run/host-services
"#,
    ),
    (
        "30-install-packages.sh",
        r#"#!/bin/sh
set -eux
if [ -d "${LIMA_CIDATA_MNT}"/provision.dependency ]; then exit 1; fi
[ "${LIMA_CIDATA_SKIP_DEFAULT_DEPENDENCY_RESOLUTION}" != 1 ] || exit 0
if head -c 4 "$(command -v apt-get)" | grep -qP '\x7fELF' >/dev/null 2>&1; then exit 1; fi
for tool in dnf yum pacman zypper apk; do
    if command -v $tool >/dev/null 2>&1; then exit 1; fi
done
"#,
    ),
    (
        "35-setup-packages.sh",
        r#"#!/bin/sh
set -eux
[ "${LIMA_CIDATA_MOUNTTYPE}" != reverse-sshfs ] || exit 1
for port in "${LIMA_CIDATA_UDP_DNS_LOCAL_PORT}" "${LIMA_CIDATA_TCP_DNS_LOCAL_PORT}"; do
    if [ -n "$port" ] && [ "$port" -ne 0 ]; then again=1; fi
done
[ "${again-}" != 1 ] || "${LIMA_CIDATA_MNT}/boot.Linux/09-host-dns-setup.sh"
"#,
    ),
    (
        "40-install-containerd.sh",
        r#"#!/bin/bash
set -eux
[ "${LIMA_CIDATA_CONTAINERD_SYSTEM}" = 1 ] || [ "${LIMA_CIDATA_CONTAINERD_USER}" = 1 ] || exit 0
exit 1
"#,
    ),
];

/// A disk of `limactl disk create`, which the first boot formats.
const DISKS: &str = r#"#!/bin/bash
set -eux -o pipefail
test "$LIMA_CIDATA_DISKS" -gt 0 || exit 0
name=$LIMA_CIDATA_DISK_0_NAME device=$LIMA_CIDATA_DISK_0_DEVICE
if [[ ! -b "/dev/disk/by-label/lima-$name" ]]; then
    echo 'type=linux' | sfdisk --label gpt "/dev/$device"
    mkfs.ext4 -L "lima-$name" "/dev/${device}1"
fi
mkdir -p "/mnt/lima-$name"
mount -t ext4 "/dev/${device}1" "/mnt/lima-$name"
"#;

const ENVIRONMENT: &str = r#"#!/bin/sh
set -eux
before=$(test ! -f /etc/environment || cat /etc/environment)
if [ -e /etc/environment ]; then sed -i '/#LIMA-START/,/#LIMA-END/d' /etc/environment; fi
cat "${LIMA_CIDATA_MNT}/etc_environment" >>/etc/environment
if command -v loginctl >/dev/null 2>&1 && [ "$before" != "$(cat /etc/environment)" ]; then
    loginctl terminate-user "${LIMA_CIDATA_USER}" || true
fi
echo "${LIMA_CIDATA_IID}" >/run/lima-ssh-ready
"#;

/// Requests of the machine for names go to the host agent's own ports.
const DNS: &str = r#"#!/bin/sh
set -eux
nat() { iptables --table nat "$@"; }
if command -v iptables >/dev/null 2>&1; then
    if ! nat -n --list LIMADNS >/dev/null 2>&1; then
        nat --new-chain LIMADNS
        for from in PREROUTING OUTPUT; do nat --insert $from 1 --jump LIMADNS; done
    fi
    nat --flush LIMADNS
    for pair in "udp:${LIMA_CIDATA_UDP_DNS_LOCAL_PORT}" "tcp:${LIMA_CIDATA_TCP_DNS_LOCAL_PORT}"; do
        [ "${pair#*:}" -ne 0 ] || continue
        nat --append LIMADNS --destination "${LIMA_CIDATA_SLIRP_DNS}" --protocol "${pair%:*}" --dport 53 \
            --jump DNAT --to-destination "${LIMA_CIDATA_SLIRP_GATEWAY}:${pair#*:}"
    done
fi
"#;

const ROOTLESS: &str = r##"#!/bin/sh
set -eux
command -v systemctl >/dev/null 2>&1 || exit 0
if [ -O "${LIMA_CIDATA_HOME}" ]; then
    chown "${LIMA_CIDATA_USER}" $(find "${LIMA_CIDATA_HOME}" -xdev) || true
fi
for file in .profile .bashrc .zshrc; do
    if ! grep -q "# Lima BEGIN" "${LIMA_CIDATA_HOME}/$file"; then
        printf '# Lima BEGIN\nPATH="$PATH:/usr/sbin:/sbin"\nexport PATH\n' >>"${LIMA_CIDATA_HOME}/$file"
        if compare_version.sh "$(uname -r)" -lt "5.13"; then exit 1; fi
        echo '# Lima END' >>"${LIMA_CIDATA_HOME}/$file"
        chown "${LIMA_CIDATA_USER}" "${LIMA_CIDATA_HOME}/$file"
    fi
done
dir=/etc/systemd/system/user@.service.d
if [ ! -e $dir/lima.conf ]; then
    mkdir -p $dir
    printf '[Service]\nDelegate=yes\n' >$dir/lima.conf
fi
systemctl daemon-reload
conf=/etc/sysctl.d/99-lima.conf
if [ ! -e $conf ]; then
    if [ -e /proc/sys/kernel/unprivileged_userns_clone ]; then echo kernel.unprivileged_userns_clone=1 >>$conf; fi
    echo "net.ipv4.ping_group_range = 0 2147483647" >>$conf
    echo "net.ipv4.ip_unprivileged_port_start=0" >>$conf
    sysctl --system
fi
for file in /etc/subuid /etc/subgid; do
    first=524288
    [ "${LIMA_CIDATA_UID}" -ge $first ] && first=$((LIMA_CIDATA_UID + 1))
    grep -qw "${LIMA_CIDATA_USER}" $file || echo "${LIMA_CIDATA_USER}:$first:1073741824" >>$file
done
systemctl start systemd-logind.service
loginctl enable-linger "${LIMA_CIDATA_USER}"
"##;

const AGENT_SCRIPT: &str = r#"#!/bin/bash
set -eux
prefix=${LIMA_CIDATA_GUEST_INSTALL_PREFIX}
mkdir -p "$prefix"/bin
updated=false
if [ "$(sha256sum <"${LIMA_CIDATA_MNT}"/lima-guestagent)" = "$(sha256sum <"$prefix"/bin/lima-guestagent 2>/dev/null)" ]; then
    echo "$prefix/bin/lima-guestagent is up-to-date"
else
    install -m 755 "${LIMA_CIDATA_MNT}"/lima-guestagent "$prefix"/bin/lima-guestagent
    updated=true
fi
[ -f /sbin/openrc-run ]
settings() { sed -E 's/^([^=]+)=(.*)/\1="\2"/' "${LIMA_CIDATA_MNT}/lima.env"; }
service() {
    cat <<-'EOF'
		#!/sbin/openrc-run
		supervisor=supervise-daemon

		log_file="${log_file:-/var/log/${RC_SVCNAME}.log}"
		err_file="${err_file:-${log_file}}"
		log_mode="${log_mode:-0644}"
		log_owner="${log_owner:-root:root}"

		supervise_daemon_args="${supervise_daemon_opts:---stderr \"${err_file}\" --stdout \"${log_file}\"}"

		name="lima-guestagent"
		description="Agent of the host"

		command=${LIMA_CIDATA_GUEST_INSTALL_PREFIX}/bin/lima-guestagent
		command_args="daemon --debug=${LIMA_CIDATA_DEBUG} --vsock-port \"${LIMA_CIDATA_VSOCK_PORT}\" --virtio-port \"${LIMA_CIDATA_VIRTIO_PORT}\" --socket-owner \"${LIMA_CIDATA_UID}\""
		command_background=true
		pidfile="/run/lima-guestagent.pid"
	EOF
}
if [ $updated = false ] &&
    [ "$(settings | sha256sum)" = "$(sha256sum </etc/conf.d/lima-guestagent 2>/dev/null)" ] &&
    [ "$(service | sha256sum)" = "$(sha256sum </etc/init.d/lima-guestagent 2>/dev/null)" ]; then
    exit 0
fi
settings >/etc/conf.d/lima-guestagent
service >/etc/init.d/lima-guestagent
chmod 755 /etc/init.d/lima-guestagent
rc-update add lima-guestagent default
rc-service --ifstarted lima-guestagent restart
rc-service --ifstopped lima-guestagent start
"#;
