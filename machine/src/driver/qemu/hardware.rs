// SPDX-License-Identifier: Apache-2.0
//! Hardware of a machine in QEMU, on which its memory depends.

/// Options of QEMU that make up the hardware.
const OPTIONS: [&str; 6] = ["-machine", "-accel", "-cpu", "-m", "-smp", "-device"];

/// Returns the hardware that a memory needs: the version of QEMU, the options that make up the
/// board, the image, and the processor of the host where the guest sees it. The address of the
/// network card is a part of the memory.
#[must_use]
pub fn hardware(args: &[String], qemu: &str, image: &str, host_cpu: &str) -> Vec<String> {
    let pairs = args.iter().zip(args.iter().skip(1));
    let board = pairs.filter(|(option, _)| OPTIONS.contains(&option.as_str()));
    let mut parts = vec![format!("QEMU {qemu}"), format!("image {image}")];
    parts.extend(board.map(|(option, value)| format!("{option} {}", without_mac(value))));
    if parts.iter().any(|part| part == "-accel kvm") {
        parts.push(format!("processor {host_cpu}"));
    }
    parts
}

fn without_mac(device: &str) -> String {
    let parts = device.split(',').filter(|part| !part.starts_with("mac="));
    parts.collect::<Vec<_>>().join(",")
}

/// Processor of a machine without KVM: every feature that TCG has, except the two that only cost time
/// there. With ERMS the kernel clears pages by `rep stosb`, of which TCG emulates each byte; LA57 is a fifth
/// level of page tables to walk for each miss of the TLB.
const TCG_PROCESSOR: &str = "max,erms=off,la57=off";

/// Processors that machines without KVM had by an earlier version of this program.
const FORMER_PROCESSORS: [&str; 1] = ["max"];

/// Returns the processor of a machine without KVM. A memory goes on with its own, which its hardware names; `former` is
/// empty for a machine that boots.
pub(super) fn tcg_processor(former: &[String]) -> &'static str {
    let of_memory = FORMER_PROCESSORS.into_iter().find(|cpu| {
        let part = format!("-cpu {cpu}");
        former.contains(&part)
    });
    of_memory.unwrap_or(TCG_PROCESSOR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::saved::difference;

    #[test]
    fn a_memory_of_an_earlier_version_has_its_processor() {
        for (former, expected) in [
            (&["-accel tcg", "-cpu max"][..], "max"),
            (&["-cpu max,erms=off,la57=off"], TCG_PROCESSOR),
            (&["-cpu pentium,x=y"], TCG_PROCESSOR),
            (&[], TCG_PROCESSOR),
        ] {
            let former: Vec<String> = former.iter().map(|&part| part.to_owned()).collect();
            assert_eq!(tcg_processor(&former), expected);
        }
    }

    fn parts(line: &str, qemu: &str) -> Vec<String> {
        let args: Vec<String> = line.split(' ').map(str::to_owned).collect();
        hardware(&args, qemu, "sha256-0", "a fast one")
    }

    #[test]
    fn a_saved_state_resumes_only_on_equal_hardware() {
        let line =
            "-name box -accel tcg -m 1024M -smp 2 -netdev user,hostfwd=1 -device net,netdev=n";
        let saved = parts(line, "7.2");
        assert_eq!(difference(&saved, &saved), None);
        let port = parts(&line.replace("hostfwd=1", "hostfwd=2"), "7.2");
        assert_eq!(difference(&saved, &port), None, "ports are not hardware");
        let address = parts(&(line.to_owned() + ",mac=52:54:00:01:02:03"), "7.2");
        assert_eq!(
            difference(&saved, &address),
            None,
            "the memory has its address"
        );
        for (other, was, is) in [
            (parts(line, "8.0"), "QEMU 7.2", "QEMU 8.0"),
            (
                parts(&line.replace("1024M", "2048M"), "7.2"),
                "-m 1024M",
                "-m 2048M",
            ),
            (
                parts(&(line.to_owned() + " -device fs"), "7.2"),
                "none",
                "-device fs",
            ),
            (
                parts(&line.replace("-device net,netdev=n", ""), "7.2"),
                "-device net,netdev=n",
                "none",
            ),
        ] {
            let text = difference(&saved, &other).expect(was);
            assert!(
                text.contains(&format!("`{was}`")) && text.contains(&format!("`{is}`")),
                "{text}"
            );
        }
    }

    #[test]
    fn the_hosts_processor_counts_where_the_guest_sees_it() {
        let has = |line| parts(line, "7.2").contains(&"processor a fast one".to_owned());
        assert!(has("-accel kvm") && !has("-accel tcg"));
    }
}
