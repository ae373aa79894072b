// SPDX-License-Identifier: Apache-2.0
//! Table of the applets of the multi-call program b2p.
//!
//! `b2p NAME ARGUMENTS` runs the row NAME of [`APPLETS`]; a link of that name to the program
//! does the same. `b2p help` lists the rows of kind [`Kind::Client`].

use Kind::{Client, OneShot, Raw, Service};

use crate::applet::{Applet, DEFAULT, Invocation, Kind};
use crate::client::{
    boot, flags, help, key, log, openrc, ping, power, rescue, service, status, systemctl, varlink,
    version,
};
use crate::common::control_client::ControlClient;
use crate::common::service_change::Verb;
use crate::common::service_env::Environment;
use crate::common::service_loading;
use crate::helpers::{
    cloud, compat, console, data, engine, ext, ignition, image_sync, log_files, net, quadlet,
    registries, remote_log, share, sshd, swap, syslog, template, time, timers, unit_bus, upgrade,
    user_services, varlink as varlink_services, vsock,
};

const SHUTDOWN_DETAILS: &str = "-f ends the machine at once, without PID 1: sync(2), then reboot(2); -n omits \
the sync. -p, --poweroff, --reboot and --halt choose the action at the end of the shutdown. \
-d SECONDS is a delay, as with busybox. PID 1 keeps a shutdown with a time, and starts it at that time; \
`b2p cancel` cancels that shutdown. If PID 1 does not answer within two seconds, b2p sends PID 1 the signal of the \
action.";

/// All applets: the commands that `b2p help` lists, then services and one-shots, then programs that replace others.
#[rustfmt::skip]
pub const APPLETS: &[Applet] = &[
    Applet { name: "status", kind: Client, arguments: "[--json] [NAME...]",
        run: |call| status::main(call.control, call.arguments),
        summary: "shows the state of the machine and of its services",
        details: "With a NAME the exit status is 0 if the service is up, armed (PID 1 waits for a \
            connection to its socket) or done, else 1.",
        ..DEFAULT },
    Applet { name: "boot", kind: Client, arguments: "[--json]",
        run: |call| boot::main(call.control, call.arguments),
        summary: "shows a chart of the boot: the time of each phase and service",
        details: "Each phase of PID 1 and each service is a bar; dots show how long a service \
            waited for others. The scale begins at the start of PID 1; the vertical line is the \
            moment at which the machine was ready.", ..DEFAULT },
    Applet { name: "start", kind: Client, arguments: "NAME...",
        run: |call| service::main(&Environment::of(call.control), Verb::Start, call.arguments),
        summary: "starts services and waits until they are up",
        details: "A user service, a file in /var/lib/boot2podman/services, is loaded \
            first. The exit status is 1 if one of the services is not up.", ..DEFAULT },
    Applet { name: "stop", kind: Client, arguments: "NAME...",
        run: |call| service::main(&Environment::of(call.control), Verb::Stop, call.arguments),
        summary: "stops services and waits until they have ended", ..DEFAULT },
    Applet { name: "restart", kind: Client, arguments: "NAME...",
        run: |call| service::main(&Environment::of(call.control), Verb::Restart, call.arguments),
        summary: "stops services and starts them again",
        details: "If the file of a user service has changed, it is loaded between the stop and the start.", ..DEFAULT },
    Applet { name: "load", kind: Client, arguments: "NAME...",
        run: |call| service::load_main(&Environment::of(call.control), call.arguments),
        summary: "loads user services from /var/lib/boot2podman/services",
        details: "Loading does not start a service.", ..DEFAULT },
    Applet { name: "reload", kind: Client,
        run: |call| service_loading::reload(&Environment::of(call.control)),
        summary: "loads the files of all user services that do not run",
        details: "A service that runs keeps its definition.", ..DEFAULT },
    Applet { name: "log", kind: Client, arguments: "[-f] [-n N] [-p LEVEL] [-a] [NAME...]",
        run: |call| log::main(call.arguments),
        summary: "shows the log of this boot, of all services or of some",
        details: "-f follows the log as it grows, -n shows the last N lines, -p those of at least this \
            LEVEL. -a shows earlier boots too, if a disk keeps them.", ..DEFAULT },
    Applet { name: "flags", kind: Client, arguments: "[--json]",
        run: |call| flags::main(call.arguments),
        summary: "shows all flags and the source of each", ..DEFAULT },
    Applet { name: "key", kind: Client, arguments: "add KEY | list",
        run: |call| key::main(call.arguments),
        summary: "adds an SSH key that may log in, or lists these keys",
        details: "KEY is a line as in a .pub file. It is kept in \
            /var/lib/boot2podman/authorized_keys. To revoke it, delete the line there and in \
            /run/boot2podman/authorized_keys, into which each boot copies it.", ..DEFAULT },
    Applet { name: "ext", kind: Client,
        arguments: "[list|info|add|remove] [NAME|FILE|URL...]",
        run: |call| ext::main(call.control, call.arguments),
        summary: "lists, adds and removes extensions (images with more programs)",
        details: "A NAME is searched for in /var/lib/boot2podman/ext, then on a disc or USB \
            stick with an ISO of boot2podman. A FILE, which has a / in it, is the path of \
            NAME.erofs with NAME.manifest beside it. A URL is the address of NAME.manifest or \
            NAME.erofs on a web server, with the SHA-256 of either file: URL#SUM, or --sha256 SUM. An \
            added extension lasts until the next boot; --keep puts the extension on the data disk, and \
            b2p.ext= adds an extension at every boot. info shows the manifest of an extension. remove \
            removes an extension that is not in use, else it names the programs, containers and \
            extensions that use it; --disk also deletes the extension on the data disk.", ..DEFAULT },
    Applet { name: "upgrade", kind: Client, arguments: "FILE|--back|--keep",
        run: |call| upgrade::main(call.arguments),
        summary: "installs a new version beside the one that runs",
        details: "This requires a disk image built by `make disk`. FILE is an ISO or a raw disk of boot2podman, \
            or a directory with vmlinuz, initrd.img and SHA256SUMS. The new version is verified \
            first, and tried at the next boot: if it does not become ready, the machine starts \
            the previous version again. --back starts the previous version at the next boot; --keep \
            ends a trial and keeps the version that runs now.", ..DEFAULT },
    Applet { name: "poweroff", kind: Client, arguments: "[-fnp] [-d SECONDS] [now|+MINUTES|hh:mm]",
        run: |call| power::main(call.control, call.table, call.name, call.arguments),
        summary: "shuts the machine down and switches it off", details: SHUTDOWN_DETAILS, ..DEFAULT },
    Applet { name: "reboot", kind: Client, arguments: "[-fnp] [-d SECONDS] [now|+MINUTES|hh:mm]",
        run: |call| power::main(call.control, call.table, call.name, call.arguments),
        summary: "shuts the machine down and starts it again", details: SHUTDOWN_DETAILS, ..DEFAULT },
    Applet { name: "halt", kind: Client, arguments: "[-fnp] [-d SECONDS] [now|+MINUTES|hh:mm]",
        run: |call| power::main(call.control, call.table, call.name, call.arguments),
        summary: "shuts the machine down and leaves the power on", details: SHUTDOWN_DETAILS, ..DEFAULT },
    Applet { name: "shutdown", kind: Client, arguments: "[-h|-P|-r|-H|-c] [now|+MINUTES|hh:mm]",
        run: |call| power::main(call.control, call.table, call.name, call.arguments),
        summary: "shuts the machine down, with the options of shutdown(8)",
        details: "-h and -P switch the machine off, -r starts it again, -H halts it, -c cancels \
            the shutdown. Without a time the shutdown is in one minute.", ..DEFAULT },
    Applet { name: "cancel", kind: Client,
        run: |call| power::cancel(call.control),
        summary: "cancels a scheduled shutdown", ..DEFAULT },
    Applet { name: "rescue", kind: Client,
        run: |call| rescue::main(call.control),
        summary: "replaces the programs on the consoles by root shells", ..DEFAULT },
    Applet { name: "version", aliases: &["--version", "-V"], kind: Client, arguments: "[--verbose]",
        run: |call| version::main(call.arguments),
        summary: "shows the version of b2p, and of the parts of the machine",
        details: "With --verbose: the kernel, and every Debian package and Rust crate from \
            which the machine contains files or code, with version and licence." },
    Applet { name: "help", aliases: &["--help", "-h"], kind: Client, arguments: "[COMMAND]",
        run: |call| help::main(call.table, call.arguments),
        summary: "shows this list, or the details of one command", ..DEFAULT },

    Applet { name: "console", kind: Service, arguments: "status|shell|rescue",
        run: |call| console::main(call.control, call.arguments),
        summary: "shows the state on a console; with shell or rescue, runs a root shell then",
        ..DEFAULT },
    Applet { name: "net", kind: Service, arguments: "[OPTION...]",
        run: |call| net::main(call.arguments),
        summary: "configures the network cards and keeps their DHCP leases", ..DEFAULT },
    Applet { name: "syslog", kind: Service, arguments: "[journal]",
        run: |call| syslog::main(call.arguments),
        summary: "copies messages from /dev/log, or from journald's socket, to the kernel log",
        ..DEFAULT },
    Applet { name: "log-files", kind: Service, arguments: "[--size BYTES[K|M]] [--files N] DIR",
        run: |call| log_files::main(call.arguments),
        summary: "keeps the kernel log in files in DIR", ..DEFAULT },
    Applet { name: "remote-log", kind: Service,
        run: |_| remote_log::main(),
        summary: "sends the kernel log to the receiver that b2p.rsyslog= names", ..DEFAULT },
    Applet { name: "template", kind: OneShot,
        run: |_| template::main(),
        summary: "waits until a host has copied the memory of this machine", ..DEFAULT },
    Applet { name: "time", kind: Service,
        run: |_| time::main(),
        summary: "sets the clock by the hypervisor or a time server, also after a pause", ..DEFAULT },
    Applet { name: "timers", kind: Service,
        run: |call| timers::main(call.control),
        summary: "starts services at the times that their files name", ..DEFAULT },
    Applet { name: "unit-bus", kind: Service,
        run: |call| unit_bus::main(call.control),
        summary: "serves the part of systemd's D-Bus interface that podman auto-update calls", ..DEFAULT },
    Applet { name: "auto-update", kind: OneShot,
        run: |_| engine::auto_update::main(),
        summary: "runs podman auto-update for every user who has containers", ..DEFAULT },
    Applet { name: "health", kind: Service,
        run: |_| engine::health::main(),
        summary: "runs the health checks of containers", ..DEFAULT },
    Applet { name: "vsock", kind: Service,
        run: |_| vsock::main(),
        summary: "offers ssh and the podman API to the host over vsock", ..DEFAULT },
    Applet { name: "varlink-machine", kind: Service, arguments: "[ADDRESS]",
        run: |call| varlink_services::machine::main(call.control, call.arguments),
        summary: "serves the varlink interface of the machine itself", ..DEFAULT },
    Applet { name: "varlink-podman", kind: Service, arguments: "[ADDRESS]",
        run: |call| varlink_services::podman::main(call.arguments),
        summary: "serves the varlink interface of podman 1", ..DEFAULT },
    Applet { name: "varlink-resolver", kind: Service, arguments: "[ADDRESS]",
        run: |call| varlink_services::resolver::main(call.arguments),
        summary: "tells varlink clients the address of an interface", ..DEFAULT },
    // The messages of `b2p sshd` go to standard error, which PID 1 logs.
    Applet { name: "sshd", kind: Raw,
        run: |_| sshd::main(),
        summary: "listens for ssh and runs an sshd for each client", ..DEFAULT },
    Applet { name: "image-sync", kind: Service,
        run: |_| image_sync::main(),
        summary: "syncs the data disk after each change of podman's images", ..DEFAULT },
    Applet { name: "data", kind: OneShot, arguments: "[OPTION...]",
        run: |call| data::main(call.arguments),
        summary: "finds, formats, checks, grows and mounts the data disk", ..DEFAULT },
    Applet { name: "share", kind: OneShot,
        run: |_| share::main(),
        summary: "mounts folders that the host shares", ..DEFAULT },
    Applet { name: "cloud", kind: OneShot, arguments: "[scripts]",
        run: |call| cloud::main(call.arguments),
        summary: "applies the cloud-init configuration of a cidata disk", ..DEFAULT },
    Applet { name: "ignition", kind: OneShot,
        run: |_| ignition::main(),
        summary: "applies a configuration in the format of Ignition", ..DEFAULT },
    Applet { name: "hostkey", kind: OneShot,
        run: |_| data::hostkey::main(),
        summary: "makes the host key of sshd if the data disk has none", ..DEFAULT },
    Applet { name: "swap", kind: OneShot,
        run: |_| swap::main(),
        summary: "turns on the swap areas that flags name", ..DEFAULT },
    Applet { name: "timezone", kind: OneShot,
        run: |_| time::zone::main(),
        summary: "sets the time zone, and the clock if the hardware clock keeps local time", ..DEFAULT },
    Applet { name: "registries", kind: OneShot,
        run: |_| registries::main(),
        summary: "gives podman the registry files of the data disk", ..DEFAULT },
    Applet { name: "boot-script", kind: OneShot, arguments: "bootsync|bootlocal",
        run: |call| compat::boot_script::main(call.arguments),
        summary: "runs bootsync.sh or bootlocal.sh of the data disk", ..DEFAULT },
    // The output of this service is that of the unit's commands, which PID 1 logs under the name of the service.
    // `unit-run` writes its own messages to the kernel log.
    Applet { name: sys::service_names::UNIT_RUN, kind: Raw, arguments: "NAME",
        run: |call| quadlet::run::main(call.arguments),
        summary: "runs the commands of a unit, as the main process of the unit's service", ..DEFAULT },
    Applet { name: "kube-run", kind: Raw, arguments: "start|started|stop NAME",
        run: |call| quadlet::kube::run::main(call.arguments),
        summary: "starts or stops the pods of a kube file, as a command of its unit", ..DEFAULT },
    Applet { name: "unit-files", kind: Raw, arguments: "HOME",
        run: |call| quadlet::plain::print_main(call.arguments),
        summary: "prints a user's unit files, with the rights of that user", ..DEFAULT },
    Applet { name: "user-services", kind: OneShot,
        run: |call| user_services::main(&Environment::of(call.control)),
        summary: "loads and starts user services", ..DEFAULT },
    Applet { name: "upgrade-commit", kind: OneShot,
        run: |call| upgrade::commit::main(call.control),
        summary: "keeps a version on trial once the machine is ready, or starts the old one",
        ..DEFAULT },
    Applet { name: "containers-start", kind: OneShot,
        run: |_| engine::start::main(),
        summary: "starts the containers whose restart policy requires it", ..DEFAULT },
    Applet { name: "containers-stop", kind: OneShot,
        run: |_| engine::stop::main(),
        summary: "stops all containers at shutdown and keeps their restart policies", ..DEFAULT },

    Applet { name: "podman-user", kind: Raw,
        run: |_| engine::user_api::main(),
        summary: "executes the API service of the user's own podman", ..DEFAULT },
    Applet { name: "health-hook", kind: Raw,
        run: |_| engine::health::hook(),
        summary: "tells `b2p health` of a new container, as a hook of the OCI runtime", ..DEFAULT },
    Applet { name: "start-hook", kind: Raw,
        run: |_| engine::start_hook::main(),
        summary: "OCI hook: sets the AppArmor profile or the pod's cgroup of a container", ..DEFAULT },
    Applet { name: "conmon", kind: Raw, arguments: "[OPTION...]",
        run: |call| engine::start_conmon::main(call.arguments.len()),
        summary: "executes conmon with its log warnings turned off", ..DEFAULT },
    Applet { name: "ping", kind: Raw, arguments: "[-4|-6] [-c COUNT] HOST",
        run: |call| ping::main(call.arguments, None),
        summary: "sends echo requests to a host, without privilege", ..DEFAULT },
    Applet { name: "ping6", kind: Raw, arguments: "[-c COUNT] HOST",
        run: |call| ping::main(call.arguments, Some(true)),
        summary: "sends echo requests to a host over IPv6", ..DEFAULT },
    Applet { name: "apparmor_parser", kind: Raw, arguments: "-Kr",
        run: |call| engine::apparmor::main(call.arguments),
        summary: "loads podman's default AppArmor profile in the image's compiled form",
        ..DEFAULT },
    Applet { name: "sshd-session", kind: Raw,
        run: |call| sshd::exec_session(call.arguments),
        summary: "reaps the child that sshd forked before, then executes OpenSSH's sshd-session", ..DEFAULT },
    Applet { name: "sshd-auth", kind: Raw,
        run: |call| sshd::run_auth(call.arguments),
        summary: "runs OpenSSH's sshd-auth, and puts the session into its user's cgroup", ..DEFAULT },
    Applet { name: "systemctl", kind: Raw, arguments: "VERB [NAME...]",
        run: |call| systemctl::main(call.control, call.table, call.arguments),
        summary: "translates the most common verbs of systemctl(1)", ..DEFAULT },
    Applet { name: "journalctl", kind: Raw, arguments: "[OPTION...]",
        run: |call| log::journalctl(call.arguments),
        summary: "shows the machine's log with the options of journalctl(1)", ..DEFAULT },
    Applet { name: "varlink", kind: Raw, arguments: "[OPTION...] COMMAND [ARGUMENT...]",
        run: |call| varlink::main(call.arguments),
        summary: "calls varlink services", ..DEFAULT },
    Applet { name: varlink::activated::NAME, kind: Raw, arguments: "COMMAND [ARGUMENT...]",
        run: |call| varlink::activated::main(call.arguments),
        summary: "executes the service that `varlink -A` starts", ..DEFAULT },
    Applet { name: "loginctl", kind: Raw, arguments: "VERB [USER]",
        run: |call| compat::shims::main(call.name, call.arguments),
        summary: "implements the subset of loginctl(1) that Lima calls", ..DEFAULT },
    Applet { name: "rc-service", kind: Raw, arguments: "[--ifstarted|--ifstopped] NAME VERB",
        run: |call| openrc::rc_service(call.control, call.arguments),
        summary: "runs a script of /etc/init.d, such as that of Lima's guest agent, as a service", ..DEFAULT },
    Applet { name: "rc-update", kind: Raw, arguments: "add|del NAME [RUNLEVEL]",
        run: |call| openrc::rc_update(call.arguments),
        summary: "implements the subset of OpenRC's rc-update that Lima calls", ..DEFAULT },
    Applet { name: "sysctl", kind: Raw, arguments: "[--system | OPTION...]",
        run: |call| compat::sysctl::main(call.arguments),
        summary: "applies the files of sysctl.d, or executes busybox's sysctl", ..DEFAULT },
    Applet { name: "systemd-tmpfiles", kind: Raw, arguments: "--create [--prefix=PATH]",
        run: |call| compat::tmpfiles::main(call.arguments),
        summary: "makes the links and directories of /etc/tmpfiles.d", ..DEFAULT },
    Applet { name: "mount.virtiofs", kind: Raw, arguments: "TAG DIRECTORY [-o OPTIONS]",
        run: |call| compat::mount_virtiofs::main(call.arguments),
        summary: "mounts a folder of the host, as mount(8) runs it", ..DEFAULT },
    Applet { name: "update-ca-trust", kind: Raw,
        run: |call| compat::shims::main(call.name, call.arguments),
        summary: "trusts the certificate authorities in /etc/pki/ca-trust/source/anchors", ..DEFAULT },
    Applet { name: "podman", kind: Raw,
        run: |_| engine::stop::podman_cover(),
        summary: "refuses to run: containers-stop mounts it over podman during the shutdown", ..DEFAULT },
];

/// Returns the applet of this name or alias.
#[must_use]
pub fn find(name: &str) -> Option<&'static Applet> {
    APPLETS.iter().find(|applet| applet.has_name(name))
}

/// Splits a command line into the name of the applet and its arguments. The name is the file
/// name of the program if that is an applet, else the first argument, else `help`.
#[must_use]
pub fn split(argv: &[String]) -> (&str, &[String]) {
    let (program, arguments) = match argv.split_first() {
        Some((path, arguments)) => (path.rsplit('/').next().unwrap_or_default(), arguments),
        None => ("", argv),
    };
    if find(program).is_some() {
        return (program, arguments);
    }
    match arguments.split_first() {
        Some((name, rest)) => (name, rest),
        None => ("help", arguments),
    }
}

/// Runs the applet `name` and returns the exit status.
pub fn run(control: &ControlClient, name: &str, arguments: &[String]) -> i32 {
    let Some(applet) = find(name) else {
        return help::unknown_command(APPLETS, name);
    };
    let call = Invocation {
        control,
        table: APPLETS,
        name: applet.name,
        arguments,
    };
    let asks_help = arguments.iter().any(|argument| argument == "--help");
    let superfluous = arguments.first().filter(|_| applet.arguments.is_empty());
    match applet.kind {
        Kind::Raw => (applet.run)(&call),
        // `b2p log` parses `--help` itself, because the word may be the value of an option.
        _ if asks_help && applet.name != "log" => help::command(applet),
        // Unexpected arguments are refused: `b2p reload web` would otherwise load all files, and
        // `b2p containers-stop x` end all containers.
        _ => match (superfluous, applet.kind) {
            (Some(argument), _) => help::superfluous(applet, argument),
            (None, Kind::Client) => (applet.run)(&call),
            (None, _) => {
                sys::kmsg::init_logger(::log::LevelFilter::Info);
                (applet.run)(&call)
            }
        },
    }
}

#[cfg(test)]
mod tests;
