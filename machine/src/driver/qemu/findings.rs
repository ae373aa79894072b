// SPDX-License-Identifier: Apache-2.0
//! Judgement of the host for QEMU: acceleration, and a server for folders.

use super::shares;
use crate::finding::Finding;
use anyhow::Result;
use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use vmm::Board;

/// Consequence of a host without KVM.
pub(super) const SLOW: &str = "machines run by TCG, which is ten times slower";

/// Consequence of a host without a virtiofsd that runs.
const BY_9P: &str = "folders are shared by 9p, for which the image needs the generic kernel";

pub(super) fn all(kernel: Option<&Path>) -> Vec<Finding> {
    vec![kvm(kernel), virtiofsd()]
}

fn kvm(kernel: Option<&Path>) -> Finding {
    let opened = File::options().read(true).write(true).open("/dev/kvm");
    match opened {
        Ok(_) => tried(kernel.map(|kernel| vmm::runs_under_kvm(Board::Q35, kernel))),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Finding::warning(
            "kvm",
            format!("/dev/kvm: {error}: {SLOW}"),
            "sudo usermod -aG kvm $USER, and log in again",
        ),
        Err(error) => Finding::warning(
            "kvm",
            format!("/dev/kvm: {error}: {SLOW}"),
            "turn on virtualization in the firmware, or nested virtualization of this host's host",
        ),
    }
}

/// Judges a /dev/kvm that can be opened by the trial of a guest, if there was a kernel for one.
fn tried(trial: Option<Result<()>>) -> Finding {
    match trial {
        None => Finding::ok(
            "kvm",
            "/dev/kvm can be opened; the first start tries it with the image's kernel",
        ),
        Some(Ok(())) => Finding::ok("kvm", "the image's kernel runs under it"),
        Some(Err(why)) => Finding::warning(
            "kvm",
            format!("/dev/kvm can be opened, but {why:#}: {SLOW}"),
            "nothing, if this host is a virtual machine itself; else look for KVM in its kernel log",
        ),
    }
}

fn virtiofsd() -> Finding {
    match shares::server() {
        Some(path) => Finding::ok("virtiofsd", path.display().to_string()),
        None => Finding::warning(
            "virtiofsd",
            "not found: folders are shared by 9p, for which the image needs the generic kernel",
            "apt install virtiofsd",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kvm_that_runs_no_guest_is_not_usable() {
        let failed = Some(Err(anyhow::anyhow!("a guest under it hangs")));
        for (trial, grade) in [(None, "ok"), (Some(Ok(())), "ok"), (failed, "warning")] {
            let finding = tried(trial);
            assert_eq!(finding.grade, grade, "{}", finding.text);
        }
    }
}
