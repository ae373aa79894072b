// SPDX-License-Identifier: Apache-2.0
use super::*;

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn the_applet_is_the_program_name_or_the_first_argument() {
    for (line, name, count) in [
        ("/sbin/poweroff -f", "poweroff", 1),
        ("systemctl reboot", "systemctl", 1),
        ("/usr/bin/b2p status --json", "status", 1),
        ("b2p.old boot", "boot", 0),
        ("b2p", "help", 0),
        ("", "help", 0),
    ] {
        let argv = words(line);
        let (called, arguments) = split(&argv);
        assert_eq!((called, arguments.len()), (name, count), "{line}");
    }
}

#[test]
fn every_applet_has_a_summary_and_a_unique_name() {
    let mut names: Vec<&str> = Vec::new();
    for applet in APPLETS {
        names.extend([applet.name].iter().chain(applet.aliases));
        assert!(!applet.summary.is_empty(), "{}", applet.name);
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn every_program_of_a_foreign_system_is_an_applet() {
    for shim in compat::shims::SHIMS {
        let program = shim.words.first().copied().unwrap_or_default();
        assert!(
            APPLETS.iter().any(|applet| applet.name == program),
            "{program}: {}",
            shim.why
        );
    }
}

/// Returns a client of a socket that does not exist.
fn client_without_pid_1() -> ControlClient {
    ControlClient {
        path: "/nonexistent/control".into(),
        timeout: std::time::Duration::from_millis(1),
    }
}

#[test]
fn applets_print_help_refuse_arguments_and_report_a_missing_pid_1() {
    // Help is requested, so that no applet does any work.
    for applet in APPLETS.iter().filter(|a| a.kind != Kind::Raw) {
        let status = run(&client_without_pid_1(), applet.name, &words("--help"));
        assert_eq!(status, 0, "{}", applet.name);
    }
    for name in ["status", "boot", "reload", "cancel", "rescue"] {
        assert_eq!(run(&client_without_pid_1(), name, &[]), 1, "{name}");
    }
    for name in ["start", "stop", "restart", "load"] {
        assert_eq!(run(&client_without_pid_1(), name, &[]), 2, "{name}");
        assert_eq!(
            run(&client_without_pid_1(), name, &words("web")),
            1,
            "{name}"
        );
    }
    // A service that takes no argument does nothing with one.
    for name in ["containers-stop", "swap", "hostkey", "vsock"] {
        assert_eq!(
            run(&client_without_pid_1(), name, &words("now")),
            2,
            "{name}"
        );
    }
    assert_eq!(
        run(&client_without_pid_1(), "systemctl", &words("--help")),
        0
    );
    assert_eq!(run(&client_without_pid_1(), "statsu", &[]), 2);
    assert_eq!(run(&client_without_pid_1(), "statsu", &words("--help")), 2);
    assert_eq!(run(&client_without_pid_1(), "version", &[]), 0);
}
