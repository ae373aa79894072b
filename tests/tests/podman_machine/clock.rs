// SPDX-License-Identifier: Apache-2.0
//! Time between the ready line and the end of `podman machine start`, on the instruction clock.

use crate::host::INSTRUCTION_CLOCK;
use crate::{DISK, Machine, USERS, host};
use anyhow::{Result, bail, ensure};
use tests::Checks;

/// Longest time from the ready line to the end of `podman machine start`, on the instruction clock.
const LATE_SECONDS: f64 = 3.0;

#[test]
#[ignore = "fetches a host of 300 MB and boots twice, on the instruction clock: make test-all"]
fn a_start_ends_soon_after_the_ready_line() -> Result<()> {
    let mut host = host("podman-machine-clock")?;
    host.root(&format!("touch {}", INSTRUCTION_CLOCK))?;
    let mut m = Machine::of(USERS[0], &mut host);
    let mut checks = Checks::new("podman machine's start");
    // The home of the host's user is podman's default volume.
    m.init(DISK, &["--disk-size", "11"])?;
    checks.check("the first start", || m.starts_soon());
    checks.check("the user's home is in the machine", || {
        m.host.root("echo hello >/home/ann/vol/greeting")?;
        m.ssh_says(
            "cat /home/ann/vol/greeting; mount | grep -c /home/ann",
            "hello\n1",
        )
    });
    checks.check("the second start", || {
        m.stop()?;
        m.starts_soon()
    });
    checks.check("reset", || m.reset());
    checks.done()
}

impl Machine<'_> {
    /// Starts the machine, and fails if its clock shows more than [`LATE_SECONDS`] between the ready line and
    /// the end of the command; the command that reads the clock is within that time.
    fn starts_soon(&mut self) -> Result<()> {
        self.host.start(self.user, "m")?;
        let said = self.ssh(
            "cut -d' ' -f1 /proc/uptime; \
             sudo dmesg | sed -n 's/^\\[ *\\([0-9.]*\\)\\].*boot2podman: ready .*/\\1/p'",
        )?;
        let times: Vec<f64> = said.lines().flat_map(str::parse).collect();
        let [end, ready] = times[..] else {
            bail!("{said}");
        };
        println!("ready at {ready:.2} s, the command after start at {end:.2} s");
        ensure!(end - ready <= LATE_SECONDS, "{said}");
        Ok(())
    }
}
