//! Files on the data disk that are wrong: each is named, and the machine comes up.

use super::{SOON, World, equals, flag, machine, off, pull, put};
use crate::servers::HOST;
use anyhow::{Result, ensure};
use tests::{Checks, Guest, eventually};

/// Everything wrong that a file can be.
pub fn prepare(guest: &Guest) -> Result<()> {
    let config = "b2p.hostnme=x\nb2p.data=off\nb2p.loglevel=loud\ntz=UTC\n";
    put(guest, "config", config)?;
    put(guest, "hostname", "not a name!\n")?;
    put(guest, "profile", "export A=1\nno-such-command\n")?;
    put(guest, "bootsync.sh", "echo before the end; sleep 3600\n")?;
    put(guest, "bootlocal.sh", "echo last words; exit 7\n")?;
    put(
        guest,
        "certs/broken.crt",
        "-----BEGIN CERTIFICATE-----\nMIIB\n",
    )?;
    put(guest, "registries.conf.d/60-broken.conf", "[[registry]\n")?;
    let key = "echo nonsense >>/var/lib/boot2podman/authorized_keys";
    guest.sh(key).map(drop)
}

/// The third boot: it comes up, and names each.
pub fn boot(world: &World, checks: &mut Checks) -> Result<()> {
    let guest = Guest::from(&machine(world, "nonsense")?.append("b2p.user=dev"))?;
    let said: Vec<String> = guest
        .ready
        .degraded
        .iter()
        .map(|d| format!("{}: {}", d.what, d.why))
        .collect();
    for words in [
        &[
            "flag: ",
            "b2p.hostnme",
            "data disk, line 1",
            "did you mean b2p.hostname",
        ][..],
        &[
            "flag: ",
            "b2p.data",
            "data disk, line 2",
            "before the data disk",
        ],
        &["flag: ", "b2p.loglevel", "line 3"],
        &["flag: ", "hostname", "not a host name"],
        &["data: ", "profile", "no-such-command"],
        &["data: ", "broken.crt", "no end"],
        &["registries: ", "60-broken.conf: left out: ", "line 2"],
        &["bootsync: ", "60 s"],
    ] {
        checks.check("it is named", || {
            let hit = said.iter().any(|s| words.iter().all(|w| s.contains(w)));
            ensure!(hit, "nothing with {words:?}: {said:#?}");
            Ok(())
        });
    }
    checks.check("the rest holds", || {
        flag(&guest, "tz", "UTC", "data disk")?;
        equals(&guest, "hostname; echo $A-", "boot2podman\n-")?;
        guest.sh("podman info").map(drop)?;
        let said = pull(&guest, &format!("{HOST}:{}/x:1", world.tls.port))?;
        ensure!(
            !said.contains("x509"),
            "the good certificate is out: {said}"
        );
        Ok(())
    });
    checks.check("a hook that fails says so", || {
        eventually(SOON, || {
            let said = guest.sh("b2p log bootlocal; b2p status | grep bootlocal")?;
            ensure!(said.contains("last words") && said.contains('7'), "{said}");
            Ok(())
        })
    });
    checks.check("off", || off(&guest));
    println!("{said:#?}");
    Ok(())
}
