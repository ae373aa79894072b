// SPDX-License-Identifier: Apache-2.0
//! QEMU's arguments for a [`Machine`]. Pure: no file is touched here.

use crate::accel::Accelerator;
use crate::board::Board;
use crate::cmdline;
use crate::disk::escape;
use crate::machine::{Card, Front, Machine, Network};
use std::ffi::OsString;
use std::path::PathBuf;

/// Values that are known only when a machine starts.
pub(super) struct Resolved<'a> {
    pub accelerator: Accelerator,
    /// True if this QEMU loses code patches under multi-threaded TCG
    /// ([`crate::accel::loses_patches`]).
    pub loses_patches: bool,
    /// Host ports, in the order of the machine's forwards.
    pub ports: &'a [u16],
    /// Number of the descriptor that QEMU uses for its QMP client.
    pub qmp_fd: i32,
}

/// Returns the fw_cfg entries of a machine: its own, and keys that do not fit on the command line.
pub(super) fn fw_cfg(machine: &Machine) -> Vec<(String, Vec<u8>)> {
    let mut all = machine.fw_cfg.clone();
    let keys = cmdline::build(&machine.command_line(), &machine.keys).keys;
    if !keys.is_empty() {
        all.push((
            format!("{}ssh_key", cmdline::FW_CFG_PREFIX),
            (keys.join("\n") + "\n").into_bytes(),
        ));
    }
    all
}

/// Returns the file with the content of fw_cfg entry number `n`.
pub(super) fn fw_cfg_file(machine: &Machine, n: usize) -> PathBuf {
    machine.dir.join(format!("fw_cfg-{n}"))
}

/// Returns the console's log file, written by QEMU or by [`crate::Console`].
pub(super) fn console_log(machine: &Machine) -> PathBuf {
    machine.dir.join("console.log")
}

/// Returns all arguments.
pub(super) fn build(machine: &Machine, resolved: &Resolved) -> Vec<OsString> {
    let mut args = base(machine, resolved.accelerator);
    args.extend(os_strings(&accelerator(machine, resolved)));
    args.extend(os_strings(&console(machine)));
    let qmp = format!("socket,id=qmp,fd={},server=off", resolved.qmp_fd);
    args.extend(os_strings(&[
        "-chardev",
        &qmp,
        "-mon",
        "chardev=qmp,mode=control",
    ]));
    args.extend(os_strings(&network(machine, resolved.ports)));
    for (n, disk) in machine.disks.iter().enumerate() {
        let mut disks = machine.disks.iter();
        let first_on_bus = disks.position(|d| d.bus() == disk.bus()).unwrap_or(n);
        args.extend(os_strings(&disk.argv(n, first_on_bus)));
    }
    for (n, (name, _)) in fw_cfg(machine).iter().enumerate() {
        let entry = format!("name={name},file={}", escape(&fw_cfg_file(machine, n)));
        args.extend(os_strings(&["-fw_cfg", &entry]));
    }
    args.extend(boot(machine, resolved.accelerator));
    args.extend(machine.extra.iter().cloned());
    args
}

/// Returns the arguments for a machine without default devices: board, processors, memory and,
/// unless turned off, a source of entropy.
fn base(machine: &Machine, accelerator: Accelerator) -> Vec<OsString> {
    let (memory, cpus) = (format!("{}M", machine.memory_mib), machine.cpus.to_string());
    let cpus = if machine.icount { "1" } else { cpus.as_str() };
    // On the instruction clock each instruction costs the same: no feature is left out, and figures stay
    // comparable with earlier ones.
    let processor = match machine.icount {
        true => "max",
        false => processor(machine.board, accelerator),
    };
    let source = match machine.board {
        Board::Q35 | Board::Virt => "virtio-rng-pci",
        Board::Microvm => "virtio-rng-device",
    };
    let entropy: &[&str] = match machine.entropy {
        true => &["-device", source],
        false => &[],
    };
    let always = [
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-no-reboot",
        "-M",
        machine.board.name(),
        "-cpu",
        processor,
        "-m",
        memory.as_str(),
        "-smp",
        cpus,
    ];
    os_strings(&[&always, entropy].concat())
}

/// Returns QEMU's name of a processor with every feature that the accelerator has, except those that are
/// slow in TCG. The architecture's own algorithm of pointer authentication takes half of TCG's time
/// (QEMU's docs/system/arm/cpu-features.rst). STAC and CLAC, which SMAP adds to each access of the
/// kernel to user memory, end a translated block (QEMU's target/i386/tcg/translate.c): about a tenth of the time of
/// `podman run`. With ERMS the kernel clears pages by `rep stosb`, of which TCG emulates each byte, and otherwise
/// by writes of eight bytes; LA57 is a fifth level of page tables to walk for each miss of the TLB: both together
/// are about a tenth of a boot. With AVX, Go's hashes and copies take a tenth longer than with SSE. The features
/// that need AVX are left out by name: programs and the kernel's raid6 check only these.
fn processor(board: Board, accelerator: Accelerator) -> &'static str {
    match (board, accelerator) {
        (Board::Virt, Accelerator::Tcg) => "max,pauth-impdef=on",
        (Board::Q35 | Board::Microvm, Accelerator::Tcg) => {
            "max,smap=off,erms=off,la57=off,avx=off,avx2=off,fma=off,f16c=off,vaes=off,vpclmulqdq=off"
        }
        (_, Accelerator::Kvm) => "max",
    }
}

fn accelerator(machine: &Machine, resolved: &Resolved) -> Vec<&'static str> {
    match resolved.accelerator {
        // The guest's clocks, the RTC too, run on its instructions; sleep=off skips the time in
        // which the guest would only wait.
        _ if machine.icount => {
            vec![
                "-accel",
                "tcg",
                "-icount",
                "shift=0,sleep=off",
                "-rtc",
                "base=utc,clock=vm",
            ]
        }
        Accelerator::Kvm => vec!["-accel", "kvm"],
        // If one CPU translates code while another one patches it, QEMU before 8.1 loses the patch
        // (accel::loses_patches).
        Accelerator::Tcg if machine.cpus > 1 && resolved.loses_patches => {
            vec!["-accel", "tcg,thread=single"]
        }
        Accelerator::Tcg => vec!["-accel", "tcg"],
    }
}

fn console(machine: &Machine) -> Vec<String> {
    let list = match machine.front {
        Front::Program => vec!["-chardev".into(), "stdio,id=con,signal=off".into()],
        Front::Terminal => {
            let log = escape(&console_log(machine));
            let chardev = format!("stdio,id=con,mux=on,signal=off,logfile={log},logappend=off");
            vec![
                "-chardev".into(),
                chardev,
                "-mon".into(),
                "chardev=con,mode=readline".into(),
            ]
        }
    };
    [list, machine.console.arguments()].concat()
}

fn network(machine: &Machine, ports: &[u16]) -> Vec<String> {
    let netdev = match machine.network {
        Network::None => return vec!["-nic".into(), "none".into()],
        Network::Silent => "hubport,id=net0,hubid=0".to_owned(),
        Network::User => {
            let forward = |(f, port): (&crate::machine::Forward, &u16)| {
                format!(",hostfwd=tcp:127.0.0.1:{port}-:{}", f.guest)
            };
            let forwards: String = machine.forwards.iter().zip(ports).map(forward).collect();
            format!("user,id=net0{forwards}")
        }
    };
    let device = match (machine.card, machine.board) {
        (Card::Virtio, Board::Q35 | Board::Virt) => "virtio-net-pci,netdev=net0,romfile=",
        (Card::Virtio, Board::Microvm) | (Card::VirtioMmio, _) => "virtio-net-device,netdev=net0",
        (Card::E1000, _) => "e1000,netdev=net0,romfile=",
    };
    let device = device.to_owned();
    vec!["-netdev".into(), netdev, "-device".into(), device]
}

fn boot(machine: &Machine, accelerator: Accelerator) -> Vec<OsString> {
    let Some(files) = &machine.boot else {
        return Vec::new();
    };
    let mut line = cmdline::build(&machine.command_line(), &machine.keys).line;
    // On the instruction clock the guest's timers do not depend on the load of the host.
    let is_x86 = machine.board != Board::Virt;
    if is_x86 && accelerator == Accelerator::Tcg && !machine.icount {
        line = cmdline::for_translator(line);
    }
    if machine.fixed_addresses && accelerator == Accelerator::Tcg && !machine.icount {
        line = cmdline::with_fixed_addresses(line);
    }
    vec![
        "-kernel".into(),
        (&files.kernel).into(),
        "-initrd".into(),
        (&files.initrd).into(),
        "-append".into(),
        line,
    ]
}

fn os_strings<S: AsRef<str>>(list: &[S]) -> Vec<OsString> {
    list.iter()
        .map(|word| OsString::from(word.as_ref()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Bus, Disk};
    use crate::machine::Artifacts;

    fn machine() -> Machine {
        let boot = Artifacts {
            kernel: "/out/vmlinuz".into(),
            initrd: "/out/initrd.img".into(),
        };
        Machine::new(&boot).dir("/vm")
    }

    fn line(machine: &Machine, accelerator: Accelerator) -> String {
        let args = build(
            machine,
            &Resolved {
                accelerator,
                loses_patches: true,
                ports: &[2200, 8000],
                qmp_fd: 7,
            },
        );
        args.iter()
            .map(|a| a.to_string_lossy())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn a_virtio_console_is_the_only_one() {
        let line = line(&machine().virtio_console(), Accelerator::Tcg);
        assert!(line.contains("virtconsole,chardev=con") && line.contains("console=hvc0"));
        assert!(!line.contains(" -serial "), "{line}");
    }

    #[test]
    fn a_plain_machine() {
        let line = line(&machine().append("b2p.net=dhcp"), Accelerator::Tcg);
        assert!(
            line.contains("-m 1024M -smp 2 -device virtio-rng-pci -accel tcg,thread=single"),
            "{line}"
        );
        assert!(
            line.contains("hostfwd=tcp:127.0.0.1:2200-:22 -device virtio-net-pci"),
            "{line}"
        );
        assert!(
            line.contains("-chardev socket,id=qmp,fd=7,server=off"),
            "{line}"
        );
        let boot = "-kernel /out/vmlinuz -initrd /out/initrd.img -append console=ttyS0 b2p.net=dhcp no_timer_check";
        assert!(line.ends_with(boot), "{line}");
    }

    #[test]
    fn more_forwards_never_leave_localhost() {
        let line = line(&machine().forward("web", 80), Accelerator::Kvm);
        assert!(
            line.contains(":2200-:22,hostfwd=tcp:127.0.0.1:8000-:80"),
            "{line}"
        );
        assert!(line.contains("-accel kvm"), "{line}");
    }

    #[test]
    fn the_instruction_clock_has_one_cpu_and_tcg() {
        let line = line(&machine().cpus(4).icount(true), Accelerator::Kvm);
        assert!(line.contains("-cpu max -m "), "{line}");
        assert!(line.contains("-smp 1 "), "{line}");
        assert!(
            line.contains("-accel tcg -icount shift=0,sleep=off -rtc base=utc,clock=vm"),
            "{line}"
        );
    }

    #[test]
    fn tcg_has_no_feature_that_is_slow_in_it() {
        let tcg = line(&machine(), Accelerator::Tcg);
        assert!(
            tcg.contains("-cpu max,smap=off,erms=off,la57=off,avx=off,avx2=off,"),
            "{tcg}"
        );
        assert!(line(&machine(), Accelerator::Kvm).contains("-cpu max -m "));
    }

    #[test]
    fn addresses_are_fixed_only_under_tcg() {
        let machine = machine().fixed_addresses();
        assert!(line(&machine, Accelerator::Tcg).ends_with(" no_timer_check norandmaps"));
        assert!(!line(&machine, Accelerator::Kvm).contains("norandmaps"));
        assert!(!line(&machine.icount(true), Accelerator::Tcg).contains("norandmaps"));
    }

    #[test]
    fn with_one_cpu_tcg_is_not_made_single_threaded() {
        let line = line(&machine().cpus(1), Accelerator::Tcg);
        assert!(line.contains("-accel tcg -chardev"), "{line}");
    }

    #[test]
    fn the_terminal_gets_the_monitor_too() {
        let line = line(&machine().in_terminal(), Accelerator::Tcg);
        assert!(
            line.contains("stdio,id=con,mux=on,signal=off,logfile=/vm/console.log"),
            "{line}"
        );
        assert!(
            line.contains("-mon chardev=con,mode=readline -serial chardev:con"),
            "{line}"
        );
    }

    #[test]
    fn without_virtio_devices_the_command_line_has_none() {
        let machine = machine().card(Card::E1000).entropy(false);
        let line = line(&machine, Accelerator::Tcg);
        assert!(line.contains("-device e1000,netdev=net0"), "{line}");
        assert!(!line.contains("virtio"), "{line}");
    }

    #[test]
    fn a_microvm_has_no_pci() {
        let machine = machine().board(Board::Microvm).card(Card::VirtioMmio);
        let machine = machine.disk(Disk::raw("/d").on(Bus::Mmio));
        let line = line(&machine, Accelerator::Tcg);
        for part in ["-M microvm", "virtio-net-device", "virtio-blk-device,drive"] {
            assert!(line.contains(part), "{line}");
        }
        assert!(!line.contains("pci"), "{line}");
    }

    #[test]
    fn another_architecture_has_its_board_and_serial_line() {
        let machine = machine().board(Board::of_arch("aarch64"));
        let tcg = line(&machine, Accelerator::Tcg);
        for part in [
            "-M virt,gic-version=max -cpu max,pauth-impdef=on",
            "virtio-net-pci",
            "virtio-rng-pci",
        ] {
            assert!(tcg.contains(part), "{tcg}");
        }
        assert!(tcg.ends_with("-append console=ttyAMA0"), "{tcg}");
        assert_eq!(machine.board.qemu(), "qemu-system-aarch64");
        assert!(line(&machine, Accelerator::Kvm).contains("-cpu max -m"));
    }

    #[test]
    fn options_of_each_network() {
        assert!(line(&machine().network(Network::None), Accelerator::Tcg).contains("-nic none"));
        let silent = line(&machine().network(Network::Silent), Accelerator::Tcg);
        assert!(silent.contains("hubport") && !silent.contains("hostfwd"));
    }

    #[test]
    fn options_of_fw_cfg_disks_and_further_devices() {
        let machine = machine()
            .fw_cfg("opt/org.boot2podman/hostname", b"x")
            .ssh_key(&format!("ssh-rsa {}", "A".repeat(2040)))
            .disk(Disk::raw("/d"))
            .qemu_args(&["-S"]);
        let line = line(&machine, Accelerator::Tcg);
        assert!(
            line.contains("-fw_cfg name=opt/org.boot2podman/hostname,file=/vm/fw_cfg-0"),
            "{line}"
        );
        assert!(
            line.contains("-fw_cfg name=opt/org.boot2podman/ssh_key,file=/vm/fw_cfg-1"),
            "{line}"
        );
        assert!(
            line.contains("id=disk0") && line.ends_with("-append console=ttyS0 no_timer_check -S"),
            "{line}"
        );
    }
}
