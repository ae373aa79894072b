// SPDX-License-Identifier: Apache-2.0
//! The log on a running machine (docs/reference/log.md): its content, its readers, its files on a
//! disk, and the absence of programs that wait for it.

use anyhow::{Context, Result, ensure};
use nix::sys::socket::{setsockopt, sockopt};
use std::net::UdpSocket;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use tests::{Checks, Guest, eventually};

const SOON: Duration = Duration::from_secs(60);
/// Buffer of the receiver, in bytes.
const ROOM: usize = 4 << 20;
/// Path of the log file on the disk.
const KEPT: &str = "/var/lib/boot2podman/log/log";

#[test]
fn the_log_is_shown_filtered_kept_and_sent() -> Result<()> {
    let receiver = Receiver::start()?;
    let flag = format!("b2p.rsyslog=10.0.2.2:{}", receiver.port);
    let guest = Guest::boot("log", |machine| {
        machine.memory_mib(512).append("syslog").append(&flag)
    })?;
    let mut checks = Checks::new("log");
    checks.check("the log has records of kernel, PID 1 and services", || {
        everybody(&guest)
    });
    checks.check("records are filtered by name, level and number", || {
        chosen(&guest)
    });
    checks.check("messages of programs have the sender's tag", || {
        programs(&guest)
    });
    checks.check("privileged commands leave authpriv records", || {
        audited(&guest)
    });
    checks.check("the log of one service is followed", || followed(&guest));
    checks.check("a receiver on the host gets all of it", || {
        sent(&guest, &receiver)
    });
    checks.check("kept from the first record on", || kept(&guest));
    checks.check("files are bounded", || bounded(&guest));
    checks.check("a disk that is full", || full(&guest));
    checks.check("a flood of messages", || flood(&guest));
    checks.check("the last words are on the disk", || last_words(&guest));
    checks.finish(&guest)
}

/// Returns the lines that end in `text`.
fn ending<'a>(log: &'a str, text: &str) -> Vec<&'a str> {
    log.lines().filter(|l| l.ends_with(text)).collect()
}

fn everybody(guest: &Guest) -> Result<()> {
    let all = guest.sh("b2p log")?;
    for words in [
        " kernel: Linux version ",
        " boot2podman: ready ",
        " sshd: Server listening",
    ] {
        ensure!(all.contains(words), "no {words:?}:\n{all}");
    }
    let first = all.lines().next().unwrap_or_default();
    ensure!(
        first.contains("kernel: Linux version"),
        "it begins with {first:?}"
    );
    // Drivers that are loaded after the ready line log between the two looks.
    eventually(SOON, || {
        let lines = guest.sh("b2p log")?.lines().count();
        let records: usize = guest.sh("dmesg | wc -l")?.parse()?;
        ensure!(
            lines + 20 >= records && lines <= records + 20,
            "{lines} of {records}"
        );
        Ok(())
    })
}

fn chosen(guest: &Guest) -> Result<()> {
    let one = guest.sh("b2p log sshd")?;
    ensure!(
        !one.is_empty() && one.lines().all(|l| l.contains(" sshd")),
        "{one}"
    );
    let init = guest.sh("b2p log init")?;
    ensure!(init.lines().all(|l| l.contains(" boot2podman: ")), "{init}");
    let kernel = guest.sh("b2p log kernel")?;
    ensure!(kernel.lines().all(|l| l.contains(" kernel: ")), "{kernel}");
    eventually(SOON, || {
        let (last, init) = (guest.sh("b2p log -n 3 init")?, guest.sh("b2p log init")?);
        ensure!(last.lines().count() == 3 && init.ends_with(&last), "{last}");
        Ok(())
    })?;
    guest.sh("kill -9 $(b2p status net | awk '$1 == \"pid\" {print $2}')")?;
    eventually(SOON, || {
        let bad = guest.sh("b2p log -p warn init")?;
        ensure!(
            bad.contains("net: killed by SIGKILL; starts again"),
            "{bad}"
        );
        ensure!(!bad.contains(" boot2podman: ready "), "{bad}");
        Ok(())
    })?;
    guest
        .sh("! b2p log -p nonsense && ! b2p log --nonsense")
        .map(drop)
}

/// Expects brackets around the pid of messages from /dev/log, which the kernel reports, and none in
/// lines of PID 1 and its services.
fn programs(guest: &Guest) -> Result<()> {
    guest.sh("logger -t web 'from a program'; logger -t boot2podman 'not PID 1'; logger -t sshd 'not sshd'; printf 'a\\033[31mred' | logger -t tty")?;
    guest.sh_as("core", "logger -t web 'from core'; sudo -n true")?;
    eventually(SOON, || {
        let all = guest.sh("b2p log")?;
        for text in [
            "from a program",
            "not PID 1",
            "not sshd",
            "from core",
            "\\x1b[31mred",
        ] {
            let lines = ending(&all, text);
            ensure!(lines.len() == 1, "{text}: {lines:?}\n{all}");
            ensure!(lines[0].contains("]: "), "{}", lines[0]);
        }
        ensure!(!all.contains('\u{1b}'), "{all}");
        ensure!(ending(&all, "from core")[0].contains(" 1000/web["), "{all}");
        ensure!(all.contains("sudo[") && all.contains("COMMAND="), "{all}");
        Ok(())
    })?;
    let init = guest.sh("b2p log init")?;
    ensure!(!init.contains("boot2podman: not PID 1"), "{init}");
    // A user's program is none of a unit, whatever name it has.
    let said =
        guest.sh("journalctl -t web -o cat; echo; journalctl -u web -o cat; echo; b2p log web")?;
    let parts: Vec<&str> = said.split("\n\n").collect();
    let has_core = parts.iter().map(|part| part.contains("from core"));
    ensure!(has_core.eq([true, false, true]), "{said}");
    Ok(())
}

/// An action as root leaves a line that names the person, with the facility authpriv (10) and
/// the level info (6).
fn audited(guest: &Guest) -> Result<()> {
    let key =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJvTUVoGBeCZTpmeXIkcPF0EdLRepoJzy3s9KW8+jOOX ann";
    guest.sh(&format!("b2p key add '{key}'"))?;
    guest.sh_as("core", "sudo -n shutdown -r +600 && sudo -n b2p cancel")?;
    eventually(SOON, || {
        let log = guest.sh("b2p log b2p")?;
        for text in [
            "]: root (uid 0): key add SHA256:HyzfGRXMa3JOAVDQCtWZaAu8V1VAYE8UXzTCLW/6bGg ann",
            "]: core (uid 1000, sudo): cancel of a shutdown",
        ] {
            ensure!(ending(&log, text).len() == 1, "no {text}:\n{log}");
        }
        ensure!(
            log.contains("]: core (uid 1000, sudo): reboot at "),
            "{log}"
        );
        let raw = guest.sh("dmesg -r | grep 'key add'")?;
        ensure!(raw.starts_with("<86>"), "{raw}");
        Ok(())
    })
}

fn followed(guest: &Guest) -> Result<()> {
    let file = "exec /bin/bash -c 'echo early; until [ -e /run/go ]; do sleep 0.2; done; echo late; exec sleep 4300'\n";
    let script = "mkdir -p /var/lib/boot2podman/services && cat >/var/lib/boot2podman/services/chatty && b2p start chatty && (b2p log -f chatty >/run/followed 2>&1 </dev/null &)";
    tests::text(&guest.ssh_with("root", script, file.as_bytes())?)?;
    let seen = |text: &str| {
        eventually(SOON, || {
            let said = guest.sh("cat /run/followed")?;
            ensure!(said.ends_with(text), "no {text}: {said}");
            ensure!(said.lines().all(|l| l.contains(" chatty: ")), "{said}");
            Ok(())
        })
    };
    seen("chatty: early")?;
    guest.sh("touch /run/go; logger other")?;
    seen("chatty: late")?;
    let pid = guest.pids("b2p log -f")?;
    ensure!(pid.len() == 1, "{pid:?}");
    guest.sh(&format!("kill {}", pid[0]))?;
    guest.sh("b2p stop chatty").map(drop)
}

/// A receiver of syslog by UDP, at 10.0.2.2 for the machine.
struct Receiver {
    port: u16,
    messages: Arc<Mutex<Vec<String>>>,
}

impl Receiver {
    fn start() -> Result<Receiver> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        // The whole log arrives within a second, in which a busy host may let no thread here run.
        // The usual buffer holds 277 messages (socket(7), `rmem_default`), twice as many are
        // allowed to all users, and to root as many as there are.
        setsockopt(&socket, sockopt::RcvBuf, &ROOM)?;
        let _ = setsockopt(&socket, sockopt::RcvBufForce, &ROOM);
        let port = socket.local_addr()?.port();
        let messages = Arc::new(Mutex::new(Vec::new()));
        let received = Arc::clone(&messages);
        thread::spawn(move || {
            let mut bytes = [0; 2048];
            while let Ok(length) = socket.recv(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
                if let Ok(mut all) = received.lock() {
                    all.push(text);
                }
            }
        });
        Ok(Receiver { port, messages })
    }

    fn messages(&self) -> Vec<String> {
        self.messages
            .lock()
            .map(|all| all.clone())
            .unwrap_or_default()
    }
}

/// The receiver gets each record once, from the first on, later ones included.
fn sent(guest: &Guest, receiver: &Receiver) -> Result<()> {
    guest.sh("logger -p auth.warn -t web 'to the receiver'; b2p restart remote-log")?;
    guest.sh("logger -t web 'after a restart'")?;
    let messages = eventually(SOON, || {
        let messages = receiver.messages();
        let last = messages.iter().any(|m| m.ends_with(" after a restart"));
        ensure!(last, "{} messages: {:?}", messages.len(), messages.last());
        Ok(messages)
    })?;
    let first = &messages[0];
    ensure!(
        first.starts_with("<5>1 20")
            && first.contains(" boot2podman kernel - - [meta sequenceId=\"1\"] Linux version "),
        "{first}"
    );
    let with = |text: &str| messages.iter().filter(|m| m.contains(text)).count();
    for text in [
        " Linux version ",
        "] ready ssh=",
        "] Server listening on 0.0.0.0 ",
    ] {
        ensure!(with(text) == 1, "{text}: {}", with(text));
    }
    let web: Vec<&String> = messages.iter().filter(|m| m.contains(" web ")).collect();
    let one = web.iter().find(|m| m.ends_with(" to the receiver"));
    ensure!(one.is_some_and(|m| m.starts_with("<36>1 ")), "{web:?}");
    let ids = messages.iter().filter_map(|message| {
        let (_, rest) = message.split_once("[meta sequenceId=\"")?;
        rest.split('"').next()?.parse::<usize>().ok()
    });
    let mut ids: Vec<usize> = ids.collect();
    ids.sort_unstable();
    let highest = *ids.last().context("no id")?;
    let missing: Vec<_> = (1..=highest).filter(|id| !ids.contains(id)).collect();
    ensure!(
        ids.len() == highest && missing.is_empty(),
        "{} messages, and the highest id is {highest}; {missing:?} are missing",
        ids.len()
    );
    Ok(())
}

fn kept(guest: &Guest) -> Result<()> {
    guest.sh("logger -t web 'to the disk'")?;
    eventually(SOON, || {
        let head = guest.sh(&format!("head -n 2 {KEPT}"))?;
        let mut lines = head.lines();
        let (boot, first) = (
            lines.next().unwrap_or_default(),
            lines.next().unwrap_or_default(),
        );
        ensure!(
            boot.starts_with("--- boot ") && first.contains("Linux version"),
            "{head}"
        );
        guest
            .sh(&format!("grep 'web\\[[0-9]*\\]: to the disk$' {KEPT}"))
            .map(drop)
    })?;
    // Each record appears once, also after a restart.
    guest.sh("b2p restart log-files; logger -t web 'once more'")?;
    for text in ["once more", "to the disk", "ready ssh="] {
        // grep fails while the line is not there yet.
        let count = eventually(SOON, || guest.sh(&format!("grep -c '{text}' {KEPT}")))?;
        ensure!(count == "1", "{text}: {count} times");
    }
    // A record that the ring and the file have is sent once.
    let call = "varlink call -m org.boot2podman.machine.GetLog '{\"all\": true}' | grep -c '\"text\": \"Linux version '";
    ensure!(guest.sh(call)? == "1", "{call}");
    let old = guest.sh("b2p log -a -n 1000000 | head -n 3")?;
    ensure!(old.contains("Linux version"), "{old}");
    Ok(())
}

fn bounded(guest: &Guest) -> Result<()> {
    let script = "mkdir -p /tmp/l; (b2p log-files --size 64K --files 2 /tmp/l </dev/null >/tmp/l.out 2>&1 & echo $! >/tmp/l.pid)
        i=0; while [ $i -lt 2500 ]; do echo \"<6>fill: $i ........................................................................\" >/dev/kmsg; i=$((i+1)); done";
    guest.sh(script)?;
    eventually(SOON, || guest.sh("grep -h 'fill: 2499' /tmp/l/*"))?;
    let said = guest.sh("ls /tmp/l; stat -c %s /tmp/l/*; kill $(cat /tmp/l.pid)")?;
    let sizes: Vec<u64> = said.lines().filter_map(|l| l.parse().ok()).collect();
    ensure!(said.contains("log.1") && sizes.len() == 2, "{said}");
    ensure!(sizes.iter().all(|s| *s <= 66 << 10), "{said}");
    Ok(())
}

/// Expects that the files continue with later records, and count those that are lost. A full disk is
/// tried again after two seconds at the earliest, and 64 kB of lines wait meanwhile.
fn full(guest: &Guest) -> Result<()> {
    let script = "mkdir -p /tmp/f; mount -t tmpfs -o size=48k none /tmp/f; echo >/tmp/f/x
        (b2p log-files --size 1M /tmp/f </dev/null >/tmp/f.out 2>&1 & echo $! >/tmp/f.pid)
        more() { i=0; while [ $i -lt 1500 ]; do echo \"<6>more: $i ......................................................................\" >/dev/kmsg; i=$((i+1)); done; }
        more; until [ $(stat -f -c %a /tmp/f) = 0 ]; do sleep 0.2; done; more; sleep 4
        kill -0 $(cat /tmp/f.pid) && timeout 30 b2p status >/dev/null && mount -o remount,size=4m /tmp/f";
    guest.sh(script)?;
    eventually(Duration::from_secs(120), || {
        // The number of lost records precedes the next record that is written.
        guest.sh("echo '<6>room' >/dev/kmsg; sleep 3; grep ' room$' /tmp/f/log")?;
        guest
            .sh("grep 'records lost: No space left' /tmp/f/log")
            .map(drop)
    })?;
    let end = "p=$(cat /tmp/f.pid); kill $p; while kill -0 $p 2>/dev/null; do sleep 0.1; done; umount /tmp/f";
    guest.sh(end).map(drop)
}

/// Floods the log: 500 lines at once, then 100 per second; senders do not wait, and dropped lines
/// are counted. The files have all lines; the kernel's ring, those of half a minute.
fn flood(guest: &Guest) -> Result<()> {
    let script = "s=$(cut -d. -f1 /proc/uptime); yes 'spam spam spam' | head -n 20000 | timeout 170 logger -t spam; e=$(cut -d. -f1 /proc/uptime); timeout 30 b2p status >/dev/null && echo $((e-s))";
    let seconds: u64 = guest.sh(script)?.parse()?;
    let lines = format!("cat {KEPT}* | grep -c 'spam\\[.*spam spam spam'");
    let counted = format!(
        "cat {KEPT}* | sed -n 's/.* syslog: \\([0-9]*\\) lines dropped, more than .*/\\1/p'"
    );
    let lines: u64 = eventually(SOON, || {
        let (lines, counted) = (guest.sh(&lines)?.parse()?, guest.sh(&counted)?);
        let dropped: u64 = counted.lines().filter_map(|n| n.parse::<u64>().ok()).sum();
        // sudo and others log as well.
        let all = dropped + lines;
        ensure!((19_900..=20_100).contains(&all), "{counted} and {lines}");
        Ok(lines)
    })?;
    println!("flood: 20000 messages in {seconds} s, {lines} in the log");
    let most = 700 + 110 * (seconds + 2);
    ensure!((100..=most).contains(&lines), "{lines} in {seconds} s");
    Ok(())
}

/// Expects that everything is written at SIGTERM.
fn last_words(guest: &Guest) -> Result<()> {
    let script = "logger -t web 'the very last'; until dmesg | grep -q 'the very last'; do sleep 0.1; done; b2p stop log-files";
    guest.sh(script)?;
    guest.sh(&format!("grep 'the very last' {KEPT}")).map(drop)
}
