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
    judge_server(shares::server().as_deref(), &shares::is_usable)
}

fn judge_server(path: Option<&Path>, is_usable: &dyn Fn(&Path) -> Result<bool>) -> Finding {
    let Some(path) = path else {
        return Finding::warning(
            "virtiofsd",
            format!("not found: {BY_9P}"),
            "apt install virtiofsd",
        );
    };
    let shown = path.display();
    let why = match is_usable(path) {
        Ok(_) => return Finding::ok("virtiofsd", shown.to_string()),
        Err(why) => format!("{shown}: {why:#}: {BY_9P}"),
    };
    Finding::warning(
        "virtiofsd",
        why,
        "install virtiofsd 1.0 or later, or share by an image of `make KERNEL=generic`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_virtiofsd_counts_if_it_runs_for_this_user() {
        let path = Path::new("/usr/lib/qemu/virtiofsd");
        let old = |_: &Path| Err(anyhow::anyhow!("it runs as root alone"));
        for (path, is_usable, grade) in [
            (
                Some(path),
                &(|_: &Path| Ok(false)) as &dyn Fn(&Path) -> Result<bool>,
                "ok",
            ),
            (Some(path), &old, "warning"),
            (None, &old, "warning"),
        ] {
            let finding = judge_server(path, is_usable);
            assert_eq!(finding.grade, grade, "{}", finding.text);
        }
    }

    #[test]
    fn kvm_that_runs_no_guest_is_not_usable() {
        let failed = Some(Err(anyhow::anyhow!("a guest under it hangs")));
        for (trial, grade) in [(None, "ok"), (Some(Ok(())), "ok"), (failed, "warning")] {
            let finding = tried(trial);
            assert_eq!(finding.grade, grade, "{}", finding.text);
        }
    }
}
