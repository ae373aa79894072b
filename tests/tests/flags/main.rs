// SPDX-License-Identifier: Apache-2.0
//! The kernel flags, on a few small boots.

mod garbage;

use anyhow::{Context, Result, ensure};
use std::fs;
use std::time::Duration;
use tests::{BOOT_LIMIT, Checks, Guest, Shell, await_late, eventually, image, keyless, machine};

/// Time limit of an orderly shutdown.
const OFF: Duration = Duration::from_secs(120);

#[test]
fn flags_with_values_take_effect() -> Result<()> {
    let guest = Guest::boot("flags-values", |machine| {
        machine
            .append("b2p.hostname=box")
            .append("b2p.net=10.0.2.15/24,10.0.2.2,10.0.2.3,192.0.2.53")
            .append("b2p.podman=boot b2p.loglevel=debug lockdown=integrity b2p.rootless=off")
    })?;
    let mut checks = Checks::new("flags-values");
    checks.check("hostname", || equals(&guest, "hostname", "box"));
    checks.check("a static address", || {
        let all = guest.sh("ip -4 addr show; ip route; cat /etc/resolv.conf")?;
        for part in [
            "10.0.2.15/24",
            "default via 10.0.2.2",
            "nameserver 10.0.2.3",
            "nameserver 192.0.2.53",
        ] {
            ensure!(all.contains(part), "{part} is not in\n{all}");
        }
        Ok(())
    });
    checks.check("a kernel that is locked down", || locked_down(&guest));
    checks.check("podman runs from boot", || {
        ensure!(
            !guest.pids("podman system service")?.is_empty(),
            "it does not"
        );
        Ok(())
    });
    checks.check("users have no API with b2p.rootless=off", || {
        equals(
            &guest,
            "test ! -e /run/user/1000/podman/podman.sock && readlink /run/docker.sock; b2p status --json | grep -c podman-user; true",
            "podman/podman.sock\n0",
        )?;
        // Limits of a session hold all the same.
        let run = "podman run --rm --network none -m 32m localhost/box:1 cat /sys/fs/cgroup/memory.max";
        let archive = fs::read(image::archive(guest.vm.dir())?)?;
        tests::text(&guest.ssh_with("core", "podman load", &archive)?)?;
        let said = guest.sh_as("core", run)?;
        ensure!(said == "33554432", "{said}");
        Ok(())
    });
    checks.check("debug lines are in the log", || {
        let lines: usize = guest.sh("dmesg | wc -l")?.parse()?;
        ensure!(lines > 100, "{lines} lines");
        ensure!(
            guest.ready.degraded.is_empty(),
            "{:?}",
            guest.ready.degraded
        );
        Ok(())
    });
    checks.check(
        "no disk costs nothing, though there is a controller",
        || {
            let said = guest.sh("dmesg")?;
            let at = |words: &str| {
                said.find(words)
                    .with_context(|| format!("{words}:\n{said}"))
            };
            let (skipped, ready) = (at("the firmware lists no disk")?, at("boot2podman: ready")?);
            ensure!(skipped < at("data=ram")?, "not what it was decided by");
            // After the ready line, the device still gets its driver.
            let late = eventually(OFF, || {
                let said = guest.sh("dmesg")?;
                said.find("ata1:").context("IDE has no driver")
            })?;
            ensure!(late > ready, "the ready line waited for IDE:\n{said}");
            Ok(())
        },
    );
    checks.check("a login where all is well says nothing of it", || {
        let seen = guest.at_terminal("core", &[])?;
        ensure!(seen.contains("core@box:~$"), "no shell: {seen:?}");
        ensure!(!seen.contains("boot2podman:"), "{seen:?}");
        Ok(())
    });
    checks.check("a kernel that insists on signatures gets them", || {
        signed(&guest)
    });
    checks.check("a module with a damaged record is named", || {
        damaged(&guest)
    });
    checks.check("no swap by surprise, nor its driver", || {
        equals(&guest, "cat /proc/swaps | wc -l", "1")?;
        guest.sh("! test -e /sys/module/zram").map(drop)
    });
    checks.check("the power button", || {
        guest.vm.power_button()?;
        powers_off(&guest)
    });
    checks.finish(&guest)
}

/// Expects modules with their signatures, and a container with a network, in a kernel that takes no
/// module without one.
fn locked_down(guest: &Guest) -> Result<()> {
    equals(
        guest,
        "grep -o '.integrity.' /sys/kernel/security/lockdown",
        "[integrity]",
    )?;
    let archive = fs::read(image::archive(guest.vm.dir())?)?;
    tests::text(&guest.ssh_with("root", "podman load", &archive)?)?;
    let run = format!(
        "podman run --rm {} wget -q -T 5 -O /dev/null http://10.0.2.2:1/",
        image::NAME
    );
    let out = guest.ssh("root", &run)?;
    let said = String::from_utf8_lossy(&out.stderr);
    ensure!(
        said.contains("refused") || said.contains("timed out"),
        "{said}"
    );
    // 8192: a module without a signature (Documentation/admin-guide/tainted-kernels.rst).
    equals(
        guest,
        "echo $(($(cat /proc/sys/kernel/tainted) & 8192))",
        "0",
    )?;
    guest
        .sh("grep -q ^bridge /proc/modules && grep -q ^veth /proc/modules")
        .map(drop)
}

/// Requires signatures in another way than lockdown, which refuses a module with another error.
/// Expects no taint.
fn signed(guest: &Guest) -> Result<()> {
    let enforce = "cd /sys/module/module/parameters && echo 1 >sig_enforce && cat sig_enforce";
    equals(guest, enforce, "Y")?;
    guest.sh("modprobe wireguard && grep -q ^wireguard /proc/modules")?;
    equals(guest, "cat /proc/sys/kernel/tainted", "0")?;
    let said = guest.sh("dmesg | grep 'wants module signatures' | head -n 1")?;
    ensure!(said.contains("from here on each is verified"), "{said}");
    Ok(())
}

/// Overwrites the length of a record, then the record's end: the module is then unsigned.
fn damaged(guest: &Guest) -> Result<()> {
    let file = guest.sh("ls /usr/lib/modules/*/kernel/drivers/net/dummy.ko")?;
    for (from_end, errno) in [(12, "damaged"), (2, "")] {
        let script = format!(
            "at=$(($(stat -c %s {file}) - {from_end})); \
             printf '\\377\\377' | dd of={file} bs=1 seek=$at conv=notrunc 2>/dev/null; modprobe dummy"
        );
        let out = guest.ssh("root", &script)?;
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        ensure!(!out.status.success(), "it was loaded");
        ensure!(said.contains(&file) && said.contains(errno), "{said}");
    }
    guest.sh("modprobe ipvlan").map(drop)
}

#[test]
fn services_off_by_flag_leave_a_console_shell() -> Result<()> {
    let flags = "b2p.net=off b2p.sshd=off b2p.podman=off b2p.console=shell";
    let vm = machine("flags-off")?.append(flags).start()?;
    let mut ready = vm.wait_ready(BOOT_LIMIT)?;
    await_late(&vm, &mut ready);
    let shell = Shell::on(&vm)?;
    let mut checks = Checks::new("flags-off");
    checks.check("services that are off are not degraded", || {
        ensure!(ready.degraded.is_empty(), "{:?}", ready.degraded);
        Ok(())
    });
    checks.check("a root shell on the console", || {
        let said = shell.run("id -u; echo $((6*7)); tty")?;
        ensure!(
            said.contains("\n0\r\n") || said.contains("0\r\n42"),
            "{said}"
        );
        ensure!(said.contains("42"), "{said}");
        Ok(())
    });
    checks.check("the console shell has job control", || {
        let said = shell.run("sleep 300 & jobs; kill %1; wait %1; echo left $?")?;
        ensure!(said.contains("left 143"), "{said}");
        ensure!(
            !vm.console().contains("can't access tty"),
            "no controlling terminal"
        );
        ensure!(
            !vm.console().contains("no job control"),
            "no controlling terminal"
        );
        Ok(())
    });
    checks.check("no sshd, no podman, no address", || {
        let script = "pidof sshd; pidof podman; ls /run/podman/podman.sock; ip -4 -o addr | grep -v ' lo '; echo none-of-$((1+1))";
        let said = shell.run(script)?;
        let answer = said.split_once("echo none-of").map_or(said.as_str(), |(_, answer)| answer);
        ensure!(answer.contains("none-of-2") && !answer.contains("10.0.2.15"), "{said}");
        ensure!(!answer.lines().any(|l| l.trim().parse::<u32>().is_ok()), "something runs:\n{said}");
        Ok(())
    });
    checks.check("the shell comes back when it is left", || {
        shell.type_in("exit\n")?;
        let said = shell.run("echo back-$((1+1))")?;
        ensure!(said.contains("back-2"), "{said}");
        Ok(())
    });
    checks.check("poweroff on the console", || {
        shell.type_in("poweroff\n")?;
        ensure!(vm.wait_exit(OFF)?.success());
        Ok(())
    });
    println!("{}", vm.tail());
    checks.done()
}

#[test]
fn flags_from_fw_cfg_take_effect() -> Result<()> {
    let keys = format!(
        "# two keys\nssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGvXK3nH3d2yJc1V6GkV8m0m2f0mXo5c0lq9H1nq5a3T other\n{}\n",
        Guest::public_key()?
    );
    let machine = keyless("flags-fw_cfg")?
        .fw_cfg("opt/org.boot2podman/ssh_key", keys.as_bytes())
        .fw_cfg("opt/org.boot2podman/hostname", b"from-outside\n")
        .fw_cfg("opt/org.boot2podman/podman", b"off");
    let guest = Guest::start(&machine)?;
    let mut checks = Checks::new("flags-fw_cfg");
    checks.check("hostname", || equals(&guest, "hostname", "from-outside"));
    checks.check("the keys are for both users", || {
        equals(&guest, "id -un", "root")?;
        ensure!(guest.sh_as("core", "id -un")? == "core");
        Ok(())
    });
    checks.check("no podman socket", || {
        guest.sh("! test -e /run/podman/podman.sock").map(drop)
    });
    checks.check("SIGUSR2 to PID 1 powers off", || {
        let _ = guest.ssh("root", "kill -USR2 1")?;
        powers_off(&guest)
    });
    checks.finish(&guest)
}

#[test]
fn faulty_flags_are_degraded_lines() -> Result<()> {
    let guest = Guest::boot("flags-mistakes", |machine| {
        machine
            .append("b2p.hostnme=typo b2p.hostname=first b2p.hostname=second b2p.console=shel")
            .append("b2p.ssh_key=\"this is no key\" b2p.net=10.0.2.300/24")
    })?;
    let mut checks = Checks::new("flags-mistakes");
    let mut told = |flag: &str, right: &str| {
        checks.check(&format!("told of {flag}"), || {
            let all: Vec<String> = guest
                .ready
                .degraded
                .iter()
                .map(|d| format!("{}: {}", d.what, d.why))
                .collect();
            let hit = all
                .iter()
                .any(|line| line.contains(flag) && line.contains(right));
            ensure!(hit, "no line with {flag} and {right:?}: {all:?}");
            Ok(())
        });
    };
    told("b2p.hostnme", "b2p.hostname");
    told("b2p.console=shel", "shell");
    told("b2p.ssh_key", "");
    told("b2p.net=10.0.2.300/24", "");
    checks.check("logins show the degraded lines", || {
        for user in ["root", "core"] {
            let seen = guest.at_terminal(user, &[])?;
            let line = "\x1b[1;31mboot2podman: degraded flag: b2p.hostnme";
            ensure!(seen.contains(line), "{user}: {seen:?}");
        }
        Ok(())
    });
    checks.check("commands and copies are not", || {
        let seen = guest.at_terminal("core", &["echo", "here"])?;
        let clean = seen.contains("here") && !seen.contains("boot2podman:");
        ensure!(clean, "{seen:?}");
        let out = guest.ssh_alone("core", "echo here")?;
        ensure!(out.stdout == b"here\n", "{:?}", out.stdout);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        ensure!(!said.contains("boot2podman:"), "{said}");
        // A shell that reads commands from a pipe, as with installers.
        let out = guest.ssh_with("core", "exec bash -l", b"echo here\n")?;
        ensure!(out.stdout == b"here\n", "{:?}", out.stdout);
        Ok(())
    });
    checks.check("the console says it first", || {
        let line = "  \x1b[1;31mboot2podman: degraded flag: b2p.hostnme";
        guest.vm.wait_console(line, BOOT_LIMIT)
    });
    checks.check("a later flag wins", || equals(&guest, "hostname", "second"));
    checks.check("the good key still opens", || {
        equals(&guest, "id -un", "root")
    });
    checks.check("reboot restarts the machine", || {
        let _ = guest.ssh("root", "reboot")?;
        ensure!(guest.vm.wait_exit(OFF)?.success());
        ensure!(
            guest.vm.console().contains("reboot: Restarting system"),
            "{}",
            guest.vm.tail()
        );
        Ok(())
    });
    checks.finish(&guest)
}

#[test]
fn b2p_rescue_starts_a_rescue_shell() -> Result<()> {
    let vm = machine("flags-rescue")?.append("b2p.rescue").start()?;
    vm.wait_console(vmm::RESCUE, BOOT_LIMIT)?;
    let shell = Shell::on(&vm)?;
    let said = shell.run("id -u; pidof sshd || echo no-sshd-$((1+1))")?;
    ensure!(
        said.contains("no-sshd-2"),
        "services run before the shell:\n{said}"
    );
    ensure!(
        !vm.console().contains(vmm::READY),
        "ready before the shell was left"
    );
    shell.type_in("exit\n")?;
    let ready = vm
        .wait_ready(BOOT_LIMIT)
        .context("leaving the rescue shell goes on with the boot")?;
    let guest = Guest::wrap(vm, ready)?;
    equals(&guest, "id -un", "root")
}

fn equals(guest: &Guest, script: &str, wanted: &str) -> Result<()> {
    let got = guest.sh(script)?;
    ensure!(got == wanted, "`{script}` gives {got:?}, not {wanted:?}");
    Ok(())
}

fn powers_off(guest: &Guest) -> Result<()> {
    ensure!(guest.vm.wait_exit(OFF)?.success());
    ensure!(
        guest.vm.console().contains("reboot: Power down"),
        "{}",
        guest.vm.tail()
    );
    Ok(())
}
