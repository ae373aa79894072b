//! The client of PID 1, and its helpers: what parses rich formats, draws
//! pictures or talks to the network runs here, never in PID 1.
//!
//! Where to read first: [`run`] has every command and the module that does it.

use b2p::client::service::{self, Place, Verb};
use b2p::client::{boot, commands, flags, key, log, power, status, systemctl, version};
use b2p::common::control_client::{self, ControlClient};
use b2p::common::terminal;
use b2p::helpers::{
    boot_script, cloud, console, containers, data, engine, ext, image_sync, log_files, net,
    registries, share, swap, syslog, time, upgrade, vsock,
};

fn main() {
    let words: Vec<String> = std::env::args_os()
        .map(|w| w.to_string_lossy().into_owned())
        .collect();
    let (name, rest) = called(&words);
    std::process::exit(run(&ControlClient::real(), name, rest));
}

/// The command and what follows it: by the name the program is called by, else
/// by its first word.
fn called(words: &[String]) -> (&str, &[String]) {
    let (own, rest) = words.split_first().map_or(("", words), |(own, rest)| {
        (own.rsplit('/').next().unwrap_or_default(), rest)
    });
    if commands::NAMES.contains(&own) {
        return (own, rest);
    }
    match rest.split_first() {
        Some((name, rest)) => (name, rest),
        None => ("help", rest),
    }
}

/// Runs a command; what it gives is the exit status.
fn run(link: &ControlClient, name: &str, rest: &[String]) -> i32 {
    let place = || Place::real(link);
    if rest.iter().any(|w| w == "--help") && name != "log" && !commands::HELPERS.contains(&name) {
        return match name {
            "systemctl" => commands::help(""),
            name => commands::help(name),
        };
    }
    match name {
        "net" => {
            sys::kmsg::start(::log::LevelFilter::Info);
            net::main(rest)
        }
        "data" => {
            sys::kmsg::start(::log::LevelFilter::Info);
            data::main(rest)
        }
        "cloud" => {
            sys::kmsg::start(::log::LevelFilter::Info);
            cloud::main(rest)
        }
        "hostkey" => {
            sys::kmsg::start(::log::LevelFilter::Info);
            data::hostkey::main()
        }
        "store" => {
            sys::kmsg::start(::log::LevelFilter::Info);
            image_sync::main()
        }
        "swap" => {
            sys::kmsg::start(::log::LevelFilter::Info);
            swap::main()
        }
        "share" => {
            sys::kmsg::start(::log::LevelFilter::Info);
            share::main()
        }
        "time" => {
            sys::kmsg::start(::log::LevelFilter::Info);
            time::main()
        }
        "vsock" => {
            sys::kmsg::start(::log::LevelFilter::Info);
            vsock::main()
        }
        "zone" => {
            sys::kmsg::start(::log::LevelFilter::Info);
            time::zone::main()
        }
        "trial" => {
            sys::kmsg::start(::log::LevelFilter::Info);
            upgrade::trial::main(link)
        }
        "upgrade" => upgrade::main(rest),
        "registries" => {
            sys::kmsg::start(::log::LevelFilter::Info);
            registries::main()
        }
        "hook" => {
            sys::kmsg::start(::log::LevelFilter::Info);
            boot_script::main(rest)
        }
        "key" => key::main(rest),
        "console" => console::main(link, rest),
        "containers-start" => engine::restart::main(),
        "containers-stop" => containers::main(),
        "health" => engine::health::main(),
        "health-hook" => engine::health::hook(),
        "podman" => containers::covered(),
        "status" => status::main(link, rest),
        "boot" => boot::main(link, rest),
        "start" => service::main(&place(), Verb::Start, rest),
        "stop" => service::main(&place(), Verb::Stop, rest),
        "restart" => service::main(&place(), Verb::Restart, rest),
        "load" => service::load_main(&place(), rest),
        "reload" => service::reload_main(&place()),
        "own" => service::own_main(&place()),
        "ext" => ext::main(rest),
        "flags" => flags::main(rest),
        "log" => log::main(rest),
        "syslog" => syslog::main(),
        "log-files" => log_files::main(rest),
        "poweroff" | "reboot" | "halt" | "shutdown" => power::main(link, name, rest),
        "cancel" => power::cancel(link),
        "rescue" => rescue(link),
        "systemctl" => systemctl::main(link, rest),
        "version" | "--version" | "-V" => version::main(rest),
        "help" | "--help" | "-h" => commands::help(rest.first().map_or("", String::as_str)),
        name => commands::unknown(name),
    }
}

fn rescue(link: &ControlClient) -> i32 {
    match link.ask(&control::Request::Rescue) {
        Ok(_) => 0,
        Err(failure) => {
            terminal::complain(&control_client::line(&failure, "b2p rescue"));
            1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_name_or_the_first_word() {
        for (line, name, count) in [
            ("/sbin/poweroff -f", "poweroff", 1),
            ("systemctl reboot", "systemctl", 1),
            ("/usr/bin/b2p status --json", "status", 1),
            ("b2p.old boot", "boot", 0),
            ("b2p", "help", 0),
            ("", "help", 0),
        ] {
            let words = words(line);
            let (called, rest) = called(&words);
            assert_eq!((called, rest.len()), (name, count), "{line}");
        }
    }

    /// A socket that nobody listens on.
    fn nowhere() -> ControlClient {
        ControlClient {
            path: "/nonexistent/control".into(),
            patience: std::time::Duration::from_millis(1),
        }
    }

    #[test]
    fn every_command_of_the_table_is_one() {
        // Help is asked for, so that none of them does anything.
        for command in commands::COMMANDS {
            assert_eq!(
                run(&nowhere(), command.name, &words("--help")),
                0,
                "{}",
                command.name
            );
        }
        for name in ["status", "boot", "reload", "cancel", "rescue"] {
            assert_eq!(run(&nowhere(), name, &[]), 1, "{name}");
        }
        for name in ["start", "stop", "restart", "load"] {
            assert_eq!(run(&nowhere(), name, &[]), 2, "{name}");
            assert_eq!(run(&nowhere(), name, &words("web")), 1, "{name}");
        }
        assert_eq!(run(&nowhere(), "statsu", &[]), 2);
        assert_eq!(run(&nowhere(), "statsu", &words("--help")), 2);
        assert_eq!(run(&nowhere(), "version", &[]), 0);
    }
}
