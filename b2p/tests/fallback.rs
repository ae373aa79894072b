// SPDX-License-Identifier: Apache-2.0
//! Tests of the program under its other names with another PID 1: in a PID namespace whose PID 1 is
//! a shell, with the environment that the kernel would give.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::symlink;
use std::process::Command;

/// Script in the namespace. The script exits before the first command if it is not PID 1 there, or
/// if it could see the socket of a real PID 1. The namespace has no unit files of the host.
const PID_1: &str = r#"
[ $$ = 1 ] && mount -t tmpfs none /run || exit 9
[ ! -d /etc/systemd ] || mount -t tmpfs none /etc/systemd || exit 9
trap 'echo TERM' TERM; trap 'echo USR1' USR1; trap 'echo PWR' PWR
env -i "$0/poweroff" <&- >&- 2>&-; echo "poweroff $?"
env -i "$0/reboot"; echo "reboot $?"
"$0/halt" -d -w; echo "nothing $?"
"$0/systemctl" halt; echo "halt $?"
"$0/shutdown" +5; echo "later $?"
"$0/systemctl" daemon-reload; echo "reload $?"
"$0/b2p" poweroff --now; echo "unknown $?"
"#;

#[test]
fn without_a_channel_the_signal_is_sent() {
    let dir = std::env::temp_dir().join(format!("b2p-names-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    for name in ["b2p", "poweroff", "reboot", "halt", "shutdown", "systemctl"] {
        symlink(env!("CARGO_BIN_EXE_b2p"), dir.join(name)).unwrap();
    }
    let ran = Command::new("unshare")
        .args(["-Urmpf", "--kill-child", "sh", "-c", PID_1])
        .arg(&dir)
        .output()
        .unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    let wrong = String::from_utf8_lossy(&ran.stderr);
    let expected = "PWR\npoweroff 0\nTERM\nreboot 0\nnothing is done: there is no wtmp here\n\
                    nothing 0\nUSR1\nhalt 0\nlater 1\nreload 0\nunknown 2\n";
    assert_eq!(said, expected, "{wrong}");
    let lines = [
        "b2p: PID 1 does not listen here: is this boot2podman?",
        "poweroff: --now: no such option",
    ];
    assert_eq!(wrong.lines().collect::<Vec<_>>(), lines);
}
