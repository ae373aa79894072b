// SPDX-License-Identifier: Apache-2.0
//! Machines that lack something: up as far as possible, or in a rescue shell, with a line that
//! gives the reason.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use tests::{BOOT_LIMIT, Guest, Shell, artifacts, eventually, initrd, machine};
use vmm::{Machine, Network, READY, RESCUE, Vm, degraded};

/// Image that holds everything but PID 1 and its first modules.
const USERLAND: &str = "userland.erofs";

/// Writes an initrd with `damage` applied, beside the machines' directories.
fn damaged(name: &str, damage: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<PathBuf> {
    let mut bytes = fs::read(artifacts()?.initrd)?;
    damage(&mut bytes)?;
    let file = initramfs::paths::out()
        .join("vm")
        .join(format!("{name}.img"));
    fs::create_dir_all(file.parent().context("out/vm")?)?;
    fs::write(&file, bytes)?;
    Ok(file)
}

/// Expects a line that contains all of `words`, and then a rescue shell that answers.
fn in_rescue(machine: &Machine, words: &[&str]) -> Result<()> {
    let vm = machine.start()?;
    vm.wait_console(RESCUE, BOOT_LIMIT)?;
    // The shell is named in the middle of a line, and the reason may be in the rest of the line.
    vm.screen()?
        .wait(0, BOOT_LIMIT, &format!("a line with {words:?}"), |text| {
            let mut lines = text.lines();
            let told = |l: &str| l.contains("boot2podman") && words.iter().all(|w| l.contains(w));
            lines.any(told).then_some(())
        })?;
    answers(&vm)?;
    withstands_signals(&vm)?;
    vm.power_button()?;
    vm.wait_exit(BOOT_LIMIT)?;
    let said = vm.console();
    ensure!(said.contains("going down for poweroff"), "{}", vm.tail());
    Ok(())
}

/// Sends PID 1 every signal but those that request a shutdown (INT USR1 USR2 TERM PWR), again and again,
/// upwards and downwards, those of faults included.
fn withstands_signals(vm: &Vm) -> Result<()> {
    let send = "case $s in 2|10|12|15|30) ;; *) kill -$s 1;; esac";
    let up = format!("s=1; while [ $s -le 64 ]; do {send}; s=$((s+1)); done");
    let down = format!("s=64; while [ $s -ge 1 ]; do {send}; s=$((s-1)); done");
    let rounds = format!("n=0; while [ $n -lt 20 ]; do {up}; {down}; n=$((n+1)); done");
    let said = Shell::on(vm)?.run(&format!("{rounds}; sleep 1; echo signals-$((1+1))"))?;
    ensure!(said.contains("signals-2"), "{said}");
    let said = vm.console();
    let words = ["PID 1 got signal", "PID 1 crashed", "going down"];
    let wrong = words.iter().find(|words| said.contains(**words));
    ensure!(wrong.is_none(), "{wrong:?}\n{}", vm.tail());
    Ok(())
}

/// Expects an answer from the shell, and that orphans are still reaped.
fn answers(vm: &Vm) -> Result<()> {
    let shell = Shell::on(vm)?;
    let said = shell.run("echo $((6*7))")?;
    ensure!(said.contains("42"), "{said}");
    shell.run("for i in 1 2 3 4 5; do (sleep 0 &); done")?;
    eventually(BOOT_LIMIT, || {
        let said = shell.run("grep -l '^State:.Z' /proc/[0-9]*/status; echo zombies-$((1+1))")?;
        let answer = said
            .rsplit_once("zombies-$((1+1))")
            .map_or(said.as_str(), |(_, answer)| answer);
        ensure!(!answer.contains("/status"), "zombies:\n{said}");
        Ok(())
    })
}

#[test]
fn userland_cut_in_half() -> Result<()> {
    let cut = damaged("cut", |bytes| {
        let image = initrd::find(bytes, USERLAND)?.data_at;
        bytes.truncate(image.start + image.len() / 2);
        Ok(())
    })?;
    let done = in_rescue(&machine("broken-cut")?.initrd(&cut), &["userland"]);
    fs::remove_file(cut)?;
    done
}

#[test]
fn userland_unreadable() -> Result<()> {
    let spoilt = damaged("spoilt", |bytes| {
        let image = initrd::find(bytes, USERLAND)?.data_at;
        // The superblock of erofs is at this offset.
        bytes[image.start + 1024..image.start + 1152].fill(0);
        Ok(())
    })?;
    let done = in_rescue(&machine("broken-spoilt")?.initrd(&spoilt), &["userland"]);
    fs::remove_file(spoilt)?;
    done
}

#[test]
fn no_userland_at_all() -> Result<()> {
    let bare = damaged("bare", |bytes| {
        let all = initrd::entries(bytes);
        let image = all
            .iter()
            .find(|e| e.name == USERLAND)
            .context("no userland")?;
        bytes.truncate(image.name_at.start - 110);
        Ok(())
    })?;
    let done = in_rescue(&machine("broken-bare")?.initrd(&bare), &["userland"]);
    fs::remove_file(bare)?;
    done
}

#[test]
fn an_early_module_is_missing() -> Result<()> {
    let without = damaged("without", |bytes| initrd::hide(bytes, "modules/erofs.ko"))?;
    let done = in_rescue(&machine("broken-without")?.initrd(&without), &["erofs"]);
    fs::remove_file(without)?;
    done
}

/// The kernel refuses modules that its command line names with its errno for missing signatures.
#[test]
fn an_early_module_is_refused() -> Result<()> {
    let refused = machine("broken-refused")?.append("module_blacklist=overlay,erofs,loop");
    in_rescue(
        &refused,
        &["erofs", "module_blacklist= on the kernel command line"],
    )
}

#[test]
fn no_network_card() -> Result<()> {
    let vm = machine("broken-no-card")?
        .network(Network::None)
        .qemu_args(&["-device", "pcie-root-port,id=hot"])
        .append("b2p.console=shell")
        .start()?;
    let ready = vm.wait_ready(BOOT_LIMIT)?;
    let hit = ready.degraded.iter().any(|d| d.what.contains("net"));
    ensure!(hit, "degraded: {:?}", ready.degraded);
    let shell = Shell::on(&vm)?;
    let said = shell.run("test -S /run/podman/podman.sock && echo socket-$((1+1))")?;
    ensure!(said.contains("socket-2"), "{said}");
    a_card_comes(&vm, &shell)
}

/// Plugs a card in, and expects that the line about the network is taken back.
fn a_card_comes(vm: &Vm, shell: &Shell) -> Result<()> {
    let lines = "echo net-$(grep -c ^net: /run/boot2podman/degraded) $(ip -4 -o address show eth0)";
    let said = shell.run(lines)?;
    ensure!(said.contains("net-1"), "{said}");
    vm.qmp_with("netdev_add", &json!({"type": "user", "id": "net1"}))?;
    let card = json!({"driver": "virtio-net-pci", "netdev": "net1", "bus": "hot"});
    vm.qmp_with("device_add", &card)?;
    eventually(BOOT_LIMIT, || {
        let said = shell.run(lines)?;
        ensure!(
            said.contains("net-0") && said.contains("inet 10.0.2.15"),
            "{said}"
        );
        Ok(())
    })
}

#[test]
fn a_dhcp_server_that_never_answers() -> Result<()> {
    let vm = machine("broken-silent")?
        .network(Network::Silent)
        .append("b2p.console=shell")
        .start()?;
    let ready = vm.wait_ready(BOOT_LIMIT)?;
    let hit = ready
        .degraded
        .iter()
        .any(|d| d.what.contains("net") || d.why.to_lowercase().contains("dhcp"));
    ensure!(hit, "degraded: {:?}", ready.degraded);
    let shell = Shell::on(&vm)?;
    eventually(Duration::from_secs(60), || {
        let said = shell.run("pidof sshd && echo sshd-$((1+1))")?;
        ensure!(
            said.contains("sshd-2"),
            "no sshd for an address that may still come:\n{said}"
        );
        Ok(())
    })
}

/// With one processor only: with two, Debian's kernel itself runs out of memory in one such boot of
/// sixteen, during the unpacking of the initrd and before there is a PID 1.
#[test]
fn with_128_mib_the_machine_is_ready_or_in_the_rescue_shell() -> Result<()> {
    let vm = machine("broken-128m")?.memory_mib(128).cpus(1).start()?;
    let end = vm
        .screen()?
        .wait(0, BOOT_LIMIT, "ready, or a rescue shell", |text| {
            let ready = text.find(READY).is_some_and(|at| text[at..].contains('\n'));
            let rescue = text
                .find(RESCUE)
                .is_some_and(|at| text[at..].contains('\n'));
            (ready || rescue).then_some(ready)
        })?;
    if end {
        let ready = vm.wait_ready(Duration::from_secs(1))?;
        return Guest::wrap(vm, ready)?.sh("true").map(drop);
    }
    let said = vm.console();
    let told = said
        .lines()
        .any(|l| l.contains("boot2podman") && l.to_lowercase().contains("memory"));
    ensure!(
        told,
        "no line on memory; degraded: {:?}\n{}",
        degraded(&said),
        vm.tail()
    );
    answers(&vm)
}
