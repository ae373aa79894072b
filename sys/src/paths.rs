//! Paths that more than one program of the machine names.

/// Our own binary under the name the userland knows.
pub const SELF: &str = "/usr/lib/boot2podman/init";

/// The client and helper.
pub const B2P: &str = "/usr/bin/b2p";

/// sshd_config names it.
pub const HOST_KEY: &str = "/etc/ssh/ssh_host_ed25519_key";

/// The log on the disk.
pub const LOG: &str = "/var/lib/boot2podman/log";

/// Where a container's runtime says that it has begun.
pub const HEALTH: &str = "/run/boot2podman/health.sock";

/// The API's socket.
pub const API: &str = "/run/podman/podman.sock";

/// What it says when it ends: `data=/dev/vda1 fs=ext4 size=1073741824 seq=812`, or
/// `data=ram why=… seq=812`.
pub const DATA_REPORT: &str = "/run/boot2podman/data";

/// What is not as asked, a line each.
pub const DEGRADED: &str = "/run/boot2podman/degraded";

/// Where the services' leaves are.
pub const SERVICE_CGROUPS: &str = "/sys/fs/cgroup/system";
