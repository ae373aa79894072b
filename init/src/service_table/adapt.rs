// SPDX-License-Identifier: Apache-2.0
//! Changes that the configuration makes to the definition in a row of the service table.

use config::{Config, Console, Podman, Role};
use services::{Restart, ServiceDef, Socket};
use sys::paths::{B2P, PODMAN_PROGRAM, USER_PODMAN_SOCKET, USER_RUNTIME_DIRS};
use sys::ready_limit::ready_limit_seconds;

use super::Platform;
use super::names::AFTER_DATA_DISK;

/// Group that may use the API besides root.
pub(super) const API_GROUP: &str = "podman";

/// Adds the time that a flag grants to a slow disk or medium.
pub(super) fn slow_disk(def: ServiceDef, config: &Config, _: &Platform) -> ServiceDef {
    let seconds = config.waitusb.as_ref().map_or(0, |wait| wait.seconds);
    ServiceDef {
        late_ms: def.late_ms + u64::from(seconds) * 1000,
        ..def
    }
}

/// Orders the service after the data disk if swap is on a partition or in a file, which need its drivers and its mount;
/// zram needs neither.
pub(super) fn swap(def: ServiceDef, config: &Config, platform: &Platform) -> ServiceDef {
    let after = if config.swaps_to_disk() {
        AFTER_DATA_DISK
    } else {
        &[]
    };
    ServiceDef {
        after,
        ..slow_disk(def, config, platform)
    }
}

/// Passes the network settings as arguments. Without a card, the service is no gate of the ready line, because a card
/// may be plugged in later.
pub(super) fn network(def: ServiceDef, config: &Config, _: &Platform) -> ServiceDef {
    let settings = config.net.helper_args().unwrap_or_default();
    let dhcp = matches!(config.net, config::Net::Dhcp { .. });
    let program = def.argv.iter().map(ToString::to_string);
    ServiceDef {
        argv: leak(program.chain(settings)),
        gates_ready: crate::net_interface::missing_interface(&config.net).is_none(),
        late_text: if dhcp { def.late_text } else { "" },
        ..def
    }
}

/// Returns true if there was no card when [`network`] made this definition of the network service.
pub(crate) fn was_defined_without_card(def: &ServiceDef) -> bool {
    !def.gates_ready
}

/// Makes the service a gate of the ready line in the boot after a failed trial, so that the failure is listed by then.
/// During a trial the service itself waits for the ready line, so its time limit includes that of the ready line.
pub(super) fn upgrade(def: ServiceDef, config: &Config, _: &Platform) -> ServiceDef {
    match config.slot.map(|slot| slot.role) {
        Some(Role::Fallback) => ServiceDef {
            gates_ready: true,
            late_ms: ServiceDef::DEFAULT.late_ms,
            ..def
        },
        _ => ServiceDef {
            late_ms: def.late_ms + ready_limit_seconds(config) * 1000,
            ..def
        },
    }
}

/// Gives the socket to the API's group, and starts podman at the first connection, or at boot without an
/// idle limit.
pub(super) fn podman(def: ServiceDef, config: &Config, platform: &Platform) -> ServiceDef {
    let on_demand = config.podman == Podman::OnDemand;
    let socket = def.socket.map(|socket| Socket {
        gid: platform.api_gid,
        on_demand,
        ..socket
    });
    let argv: &[&str] = match on_demand {
        true => def.argv,
        false => &[PODMAN_PROGRAM, "system", "service", "--time=0"],
    };
    with_variables(
        ServiceDef {
            argv,
            socket,
            ..def
        },
        config,
        platform,
    )
}

/// Gives the socket and the process to the user. The definition has only the uid and XDG_RUNTIME_DIR. The program looks
/// up name and home when it starts, because cloud-init may have given the uid to another user.
pub(super) fn podman_user(def: ServiceDef, config: &Config, platform: &Platform) -> ServiceDef {
    let Some(user) = platform.user else {
        return def;
    };
    let dir = format!("{USER_RUNTIME_DIRS}/{}", user.uid);
    let socket = def.socket.map(|socket| Socket {
        path: format!("{dir}/{USER_PODMAN_SOCKET}").leak(),
        uid: user.uid,
        gid: user.gid,
        ..socket
    });
    let own = std::iter::once(format!("XDG_RUNTIME_DIR={dir}"));
    let env = leak(own.chain(def.env.iter().map(|line| (*line).to_owned())));
    let def = ServiceDef {
        socket,
        env,
        user: Some(user),
        ..def
    };
    with_variables(def, config, platform)
}

/// Adds the proxies and the variables that the data disk's profile exports. These variables
/// precede those of the definition: of two variables with one name, the first counts for getenv(3).
pub(super) fn with_variables(def: ServiceDef, config: &Config, _: &Platform) -> ServiceDef {
    let variables = config.variables();
    let lines = variables
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    let env = leak(lines.chain(def.env.iter().map(|line| (*line).to_owned())));
    ServiceDef { env, ..def }
}

/// Starts a shell with restart in place of the one-time status page if `b2p.console=shell`.
pub(super) fn console(def: ServiceDef, config: &Config, _: &Platform) -> ServiceDef {
    match config.console {
        Console::Shell => ServiceDef {
            argv: &[B2P, "console", "shell"],
            restart: Restart::Always,
            ..def
        },
        Console::Status | Console::Off => def,
    }
}

/// Leaks strings into a definition, which lives as long as PID 1. Definitions are made once in a boot, and again after
/// each change of the configuration.
fn leak(strings: impl Iterator<Item = String>) -> &'static [&'static str] {
    let strings: Vec<&'static str> = strings.map(|string| &*string.leak()).collect();
    strings.leak()
}
