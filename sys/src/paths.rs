// SPDX-License-Identifier: Apache-2.0
//! Paths that more than one program names. Other modules define further files in [`RUNTIME_DIR`].

/// Directory of the state of this boot, `/run/boot2podman`, or the path of a file in it.
macro_rules! runtime {
    () => {
        "/run/boot2podman"
    };
    ($name:literal) => {
        concat!(runtime!(), "/", $name)
    };
}

/// Directory of the state of this boot.
pub const RUNTIME_DIR: &str = runtime!();

/// Binary of PID 1 in the userland.
pub const INIT: &str = "/usr/lib/boot2podman/init";
/// Binary of the client and of every helper.
pub const B2P: &str = "/usr/bin/b2p";
/// Program of podman.
pub const PODMAN_PROGRAM: &str = "/usr/bin/podman";
/// Private host key of sshd, named in sshd_config.
pub const HOST_KEY: &str = "/etc/ssh/ssh_host_ed25519_key";
/// Directory of the log files on the data disk.
pub const LOG_DIR: &str = "/var/lib/boot2podman/log";
/// File that exists where a podman-machine on the host publishes ports (`b2p.machine=`).
pub const PODMAN_MACHINE_MARKER: &str = runtime!("machine");
/// Socket of the API of root's podman.
pub const PODMAN_SOCKET: &str = "/run/podman/podman.sock";
/// Socket of systemd's manager, on which `b2p unit-bus` restarts units.
pub const UNIT_BUS: &str = "/run/systemd/private";
/// Directory in which the name of a varlink interface leads to its socket (varlinkctl(1)).
pub const VARLINK_REGISTRY: &str = "/run/varlink/registry";
/// Directory of the runtime directories of users (`XDG_RUNTIME_DIR`).
pub const USER_RUNTIME_DIRS: &str = "/run/user";
/// Mount point of a file system for the files that podman makes in /run for each container of root: hosts,
/// resolv.conf, hostname, .containerenv and the directory of secrets, whose data are in the store. A container may fill
/// the file system.
pub const CONTAINER_FILES: &str = "/run/containers/files";
/// Directory of the storages of users other than root (storage.conf).
pub const USER_STORAGES: &str = "/var/lib/containers/user";
/// Path of the socket of a user's podman in the user's runtime directory (podman-system-service(1)).
pub const USER_PODMAN_SOCKET: &str = "podman/podman.sock";
/// Limits of memory that the machine has set for containers in this boot, in bytes, a line each: another limit is root's
/// choice. PID 1 writes the first.
pub const CONTAINERS_LIMITS: &str = runtime!("containers-limits");
/// Cgroup below which each service has one of its own.
pub const SERVICE_CGROUPS: &str = "/sys/fs/cgroup/system";

/// Ports at which the ssh server listens, a line each.
pub const SSH_PORTS: &str = runtime!("sshd.ports");

/// File that exists once the memory of a template is that of a machine (`b2p.template`).
pub const TEMPLATE_LEFT: &str = runtime!("template-left");
/// The ready line, written when the machine is ready.
pub const READY: &str = runtime!("ready");
/// Degraded lines of the machine, `<what>: <why>` each.
pub const DEGRADED: &str = runtime!("degraded");
/// Report of `b2p data`: `data=/dev/vda1 fs=ext4 size=1073741824 seq=812`, or
/// `data=ram why=… seq=812`.
pub const DATA_REPORT: &str = runtime!("data");
/// Directory of the configuration that `b2p data` copied from the data disk: the files config,
/// hostname, environment (lines `NAME=value`), [`ETC_ENVIRONMENT`] and hooks (their names).
pub const DISK_CONFIG_DIR: &str = runtime!("kept");
/// File in [`DISK_CONFIG_DIR`] with the variables of /etc/environment, which helpers write; lines `NAME=value`.
pub const ETC_ENVIRONMENT: &str = "etc-environment";
/// Flags that follow from Ignition or cloud-init, one a line. `b2p data` writes those that the disk
/// remembers, `b2p ignition` and `b2p cloud` write those of this boot.
pub const DOCUMENT_CONFIG: &str = runtime!("document");
/// Keys that may log in from this boot on; the path is in sshd_config.
pub const AUTHORIZED_KEYS: &str = runtime!("authorized_keys");
/// Keys that were added to a state directory without room; the path is in sshd_config.
pub const ADDED_KEYS_IN_RAM: &str = runtime!("added_keys");
/// Fragment of sshd_config with the environment of a session.
pub const SESSION_SSHD_CONFIG: &str = runtime!("session/sshd.conf");
/// Fragment of /etc/profile with the environment of a session.
pub const SESSION_PROFILE: &str = runtime!("session/profile.sh");
/// Socket on which an OCI hook reports that a container has started.
pub const HEALTH_SOCKET: &str = runtime!("health.sock");

/// Directory of the parts of a seed that `b2p cloud` keeps; the directory exists once a seed was
/// read.
pub const CLOUD_DIR: &str = runtime!("cloud");
/// Mount point of the device that carries cloud-init's seed.
pub const CLOUD_SEED: &str = runtime!("cloud/cidata");
/// Names of the devices that carry a seed, one a line, as `b2p data` found them.
pub const CLOUD_SEED_DEVICES: &str = runtime!("cidata");

/// Copy of this project's entries of QEMU's fw_cfg: a directory for each, with the file raw, as in sysfs.
pub const FW_CFG_COPY: &str = runtime!("fw_cfg");
/// Lock of the helpers that read from fw_cfg's device.
pub const FW_CFG_LOCK: &str = runtime!("fw_cfg.lock");
/// Names of the devices with the label `ignition`, one a line, if `b2p data` found any.
pub const IGNITION_DEVICES: &str = runtime!("ignition-devices");
/// Mount point of a device with the label `ignition`.
pub const IGNITION_MEDIUM: &str = runtime!("ignition-medium");
/// Document that the host sent over vsock, at the first boot only.
pub const IGNITION_KEPT: &str = "/var/lib/boot2podman/ignition.json";
/// File with the port, in decimal, on which the host waits for the ready line by vsock.
pub const READY_VSOCK: &str = runtime!("ready-vsock");

/// Plans for single network interfaces that `b2p cloud` wrote, one a line; ignored where flags
/// ask for more than DHCP.
pub const NETWORK_PLANS: &str = runtime!("network");
/// Resolver configuration that `b2p net` maintains; /etc/resolv.conf links to it.
pub const RESOLV_CONF: &str = runtime!("resolv.conf");
/// Sequence number of the next record that `b2p remote-log` sends.
pub const REMOTE_LOG: &str = runtime!("remote-log");
/// NTP servers that DHCP named, one address a line.
pub const NTP_SERVERS: &str = runtime!("ntp");

/// Mount point of the ISO that the machine started from.
pub const MEDIUM: &str = runtime!("medium");
/// Directory of the mount points of extensions.
pub const EXTENSIONS_DIR: &str = runtime!("ext");
/// Lock that a `b2p upgrade` holds.
pub const UPGRADE_LOCK: &str = runtime!("upgrade.lock");
/// Directory of the mount points of `b2p upgrade`.
pub const UPGRADE_MOUNTS: &str = runtime!("mnt");
