// SPDX-License-Identifier: Apache-2.0
//! Configuration from the host and from files on the data disk: one disk, four boots;
//! docs/guide/configure.md has the recipes.

mod ignition;
mod images;
mod keys;
mod nonsense;
mod off;
mod servers;

use anyhow::{Context, Result, ensure};
use servers::Authority;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tests::disks::{self, Image, taken, userdata};
use tests::registry::{HOST, Plain};
use tests::tls::Server;
use tests::{Checks, Guest, eventually, keyless, text};
use vmm::{Disk, Machine};

const SOON: Duration = Duration::from_secs(180);
const STATE: &str = "/var/lib/boot2podman";

struct World {
    disk: Image,
    /// Registry over HTTP, which is also a proxy.
    plain: Plain,
    /// Registry over TLS with an authority that is on the disk from the second boot on.
    tls: Server,
    known: Authority,
    /// Registry over TLS with an authority that is never on the disk.
    strange: Server,
    stranger: Authority,
}

impl World {
    fn make(dir: &Path) -> Result<World> {
        let tar = userdata::with_key(userdata::OURS, &Guest::public_key()?)?;
        let (known, stranger) = (dir.join("known"), dir.join("stranger"));
        let (known, stranger) = (Authority::make(&known)?, Authority::make(&stranger)?);
        keys::make(dir)?;
        Ok(World {
            disk: taken::words(dir, "disk", &tar)?,
            plain: Plain::start()?,
            tls: known.registry()?,
            known,
            strange: stranger.registry()?,
            stranger,
        })
    }

    fn dir(&self) -> &Path {
        self.disk.file().parent().unwrap_or(Path::new("."))
    }
}

/// Returns the path of a file beside the disk, for programs on the host.
fn path_of(world: &World, name: &str) -> Result<PathBuf> {
    Ok(world.dir().join(name).canonicalize()?)
}

#[test]
fn recipes_of_the_page_work_from_host_and_disk() -> Result<()> {
    let dir = disks::dir("configure")?;
    let world = World::make(&dir)?;
    world.disk.grow(1024)?;
    let mut checks = Checks::new("configure");
    from_the_host(&world, &mut checks)?;
    from_the_disk(&world, &mut checks)?;
    nonsense::boot(&world, &mut checks)?;
    off::boot(&world, &mut checks)?;
    checks.done()?;
    Ok(fs::remove_dir_all(dir)?)
}

/// Returns a machine without a key: the tests' key is only on the disk.
fn machine(world: &World, name: &str) -> Result<Machine> {
    let machine = keyless(&format!("configure-{name}"))?;
    Ok(machine.disk(Disk::raw(world.disk.file())))
}

fn off(guest: &Guest) -> Result<()> {
    guest.vm.power_button()?;
    let ended = guest.vm.wait_exit(Duration::from_secs(240))?;
    ensure!(ended.success(), "{ended}");
    Ok(())
}

fn equals(guest: &Guest, script: &str, wanted: &str) -> Result<()> {
    let said = guest.sh(script)?;
    ensure!(said == wanted, "`{script}`: {said}");
    Ok(())
}

/// Expects value and source of a flag in `b2p flags`.
fn flag(guest: &Guest, name: &str, value: &str, source: &str) -> Result<()> {
    let all = guest.sh("b2p flags | cat")?;
    let mut lines = all
        .lines()
        .map(|l| l.split_whitespace().collect::<Vec<_>>().join(" "));
    let wanted = format!("{name} {value} {source} ");
    ensure!(
        lines.any(|l| l.starts_with(&wanted)),
        "no line {wanted:?}:\n{all}"
    );
    Ok(())
}

fn whole(guest: &Guest) -> Result<()> {
    let degraded = &guest.ready.degraded;
    ensure!(degraded.is_empty(), "{degraded:?}");
    Ok(())
}

/// First boot: three sources, of which the command line precedes fw_cfg and fw_cfg precedes SMBIOS;
/// and a user with another name.
fn from_the_host(world: &World, checks: &mut Checks) -> Result<()> {
    let key = |name| keys::public(world.dir(), name);
    let smbios = format!("type=11,value=boot2podman:ssh_key={}", key("smbios")?);
    let machine = machine(world, "host")?
        .ssh_key(&key("cmdline")?)
        .append("b2p.hostname=by-line b2p.user=dev b2p.no_proxy=localhost,.example")
        .fw_cfg("opt/org.boot2podman/ssh_key", key("fw_cfg")?.as_bytes())
        .qemu_args(&["-smbios", &smbios])
        .fw_cfg("opt/org.boot2podman/hostname", b"by-fw-cfg")
        .fw_cfg("opt/org.boot2podman/tz", b"Asia/Tokyo")
        .qemu_args(&["-smbios", "type=11,value=boot2podman:tz=Europe/Berlin"])
        .qemu_args(&["-smbios", &ignition::in_smbios(world)?])
        .qemu_args(&[
            "-smbios",
            "type=11,value=boot2podman:loglevel=warn,value=somebody:else=x",
        ])
        .qemu_args(&[
            "-smbios",
            "type=11,value=boot2podman:http_proxy=http://10.0.2.2:1",
        ]);
    let guest = Guest::start(&machine)?;
    checks.check("nothing is missing", || whole(&guest));
    checks.check("the command line wins over fw_cfg and SMBIOS", || {
        flag(&guest, "b2p.hostname", "by-line", "command line")?;
        flag(&guest, "tz", "Asia/Tokyo", "fw_cfg")?;
        flag(&guest, "b2p.loglevel", "warn", "SMBIOS")?;
        equals(&guest, "hostname; date +%Z", "by-line\nJST")
    });
    checks.check("Ignition's document in SMBIOS", || {
        equals(&guest, "cat /srv/smbios", "smbios")
    });
    checks.check("a user with another name", || user(&guest, "dev", 1000));
    checks.check(
        "the proxies of the flags, in sessions and in the engine",
        || {
            let said = guest.sh_as("dev", "echo $HTTP_PROXY $http_proxy $NO_PROXY")?;
            ensure!(
                said == "http://10.0.2.2:1 http://10.0.2.2:1 localhost,.example",
                "{said}"
            );
            engine_has(&guest, "http_proxy=http://10.0.2.2:1")
        },
    );
    checks.check("keys of every source", || {
        keys::open(&guest, world, &["cmdline", "fw_cfg", "smbios"])
    });
    checks.check("keys that are added while it runs", || {
        keys::added(&guest, world)
    });
    checks.check("an authority that nobody knows yet", || {
        images::unknown(&guest, world.tls.port)
    });
    checks.check("a file in the home", || {
        guest.sh_as("dev", "umask 077; echo mine >.note").map(drop)
    });
    checks.check("the files of the next boot", || prepare(&guest, world));
    checks.check("poweroff succeeds", || off(&guest));
    Ok(())
}

/// Expects that the user has everything that core has.
fn user(guest: &Guest, name: &str, uid: u32) -> Result<()> {
    let said = guest.sh_as(name, "id; echo $HOME $XDG_RUNTIME_DIR; sudo id -un; pwd")?;
    let wanted = [
        format!("uid={uid}({name}) gid={uid}({name})"),
        "(podman)".to_owned(),
        format!("/home/{name} /run/user/{uid}"),
        "\nroot\n".to_owned(),
    ];
    for part in wanted {
        ensure!(said.contains(&part), "no {part:?}: {said}");
    }
    let map = guest.sh_as(name, "podman unshare cat /proc/self/uid_map | wc -l")?;
    ensure!(map == "2", "no subordinate ids: {map}");
    guest
        .sh_as(name, "podman --url unix:///run/podman/podman.sock info")
        .map(drop)?;
    let gone = guest.sh("id core 2>&1 || true; ls /home")?;
    ensure!(
        gone.contains("no such user") || gone.contains("unknown user"),
        "{gone}"
    );
    Ok(())
}

/// Expects a variable in the engine's environment. A request is first, because it starts the
/// engine, and a client stays, because without a client the engine ends after five seconds.
fn engine_has(guest: &Guest, variable: &str) -> Result<()> {
    let script = "url=unix:///run/podman/podman.sock
        podman --url $url events >/dev/null 2>&1 & client=$!
        podman --url $url info >/dev/null; status=1
        for pid in $(pidof podman); do
            tr '\\0' ' ' </proc/$pid/cmdline | grep -q '^/usr/bin/podman system service' || continue
            tr '\\0' '\\n' </proc/$pid/environ; status=$?
        done
        kill $client; exit $status";
    let all = guest.sh(script)?;
    ensure!(all.lines().any(|l| l == variable), "no {variable}: {all}");
    Ok(())
}

/// Returns the files for the disk: path below [`STATE`], content.
fn files(world: &World) -> Result<Vec<(&'static str, String)>> {
    let proxy = format!("http://{HOST}:{}", world.plain.port);
    let config = format!(
        "# A comment.\nb2p.hostname=by-disk\nuser=dev:1234\ntz = \"Europe/Berlin\"\nb2p.podman=boot\n\
         b2p.off=time\nb2p.swap=zram:16\nb2p.http_proxy={proxy}\n\
         b2p.no_proxy={HOST},.example.org\nssh_key=\"{}\"\n",
        keys::public(world.dir(), "config")?
    );
    let profile = format!(
        "export GREETING='hello you'\nexport HTTPS_PROXY={proxy} HTTP_PROXY=loses\nunexported=1\n"
    );
    let left = "(while sleep 1; do echo still here; done) &\n";
    let hook = |name: &str, more: &str| {
        format!("echo \"$(cut -d' ' -f1 /proc/uptime) {name} $GREETING\" >>/run/hooks\n{more}")
    };
    Ok(vec![
        ("config", config),
        ("hostname", "kept\n".into()),
        ("profile", profile),
        (
            "bootsync.sh",
            hook("bootsync", &format!("echo said by bootsync\n{left}")),
        ),
        ("bootlocal.sh", hook("bootlocal", "exec sleep 3600\n")),
        ("certs/own.pem", world.known.pem()?),
        (
            "registries.conf.d/50-own.conf",
            images::conf(world.plain.port),
        ),
    ])
}

fn put(guest: &Guest, path: &str, content: &str) -> Result<()> {
    let script = format!("mkdir -p $(dirname {STATE}/{path}) && cat >{STATE}/{path}");
    text(&guest.ssh_with("root", &script, content.as_bytes())?).map(drop)
}

/// Writes the files as editors of Windows do: with a byte order mark, and with CRLF at the end of each line.
fn prepare(guest: &Guest, world: &World) -> Result<()> {
    for (path, content) in files(world)? {
        let content = format!("\u{feff}{}", content.replace('\n', "\r\n"));
        put(guest, path, &content)?;
    }
    guest.sh(&format!("sed -i 's/$/\\r/' {STATE}/authorized_keys"))?;
    Ok(())
}

/// Second boot: every setting is on the disk, except for one flag that takes precedence.
fn from_the_disk(world: &World, checks: &mut Checks) -> Result<()> {
    let machine = machine(world, "disk")?.append("tz=UTC");
    let guest = Guest::start(&machine.disk(Disk::raw(ignition::on_disk(world)?)))?;
    checks.check("nothing is missing", || whole(&guest));
    checks.check("Ignition's document on a disk of its label", || {
        equals(&guest, "cat /srv/disk", "disk")
    });
    checks.check("the disk's flags, and one that wins over it", || {
        flag(&guest, "b2p.hostname", "by-disk", "data disk")?;
        flag(&guest, "b2p.user", "dev:1234", "data disk")?;
        flag(&guest, "tz", "UTC", "command line")?;
        equals(&guest, "hostname; date +%Z", "by-disk\nUTC")?;
        equals(&guest, "grep -c zram /proc/swaps", "1")?;
        let status = guest.sh("b2p status --json time podman || true")?;
        ensure!(status.contains("\"off\""), "time runs: {status}");
        equals(&guest, "pidof podman | wc -w", "1")
    });
    checks.check("the user of the disk's flag", || user(&guest, "dev", 1234));
    checks.check("a home follows its user's number", || {
        equals(&guest, "stat -c '%u %g %a' ~dev/.note", "1234 1234 600")
    });
    checks.check("hooks, in their order and with the profile", || {
        hooks(&guest)
    });
    checks.check("the profile, in sessions and in the engine", || {
        let proxy = format!("http://{HOST}:{}", world.plain.port);
        let words = "echo $GREETING $HTTPS_PROXY $HTTP_PROXY $unexported; echo $PATH";
        let said = guest.sh_as("dev", words)?;
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin";
        let wanted = format!("hello you {proxy} {proxy}\n{path}");
        ensure!(said == wanted, "{said}");
        let seen = guest.at_terminal("root", &[])?;
        ensure!(!seen.contains("not found"), "{seen}");
        engine_has(&guest, &format!("HTTPS_PROXY={proxy}"))
    });
    checks.check("keys that the disk keeps", || {
        keys::open(&guest, world, &["config", "edited", "added"])
    });
    checks.check("the authority is known now", || {
        images::known(&guest, world.tls.port)
    });
    checks.check("a further certificate, of one registry, is trusted", || {
        images::one_more(&guest, world)
    });
    checks.check("an insecure registry, and a mirror", || {
        images::plain(&guest, world)
    });
    checks.check("every podman pulls through the proxies", || {
        images::by_proxy(&guest, world)
    });
    checks.check("proxies reach containers and builds", || {
        images::proxies(&guest, world)
    });
    checks.check("programs of hooks run until a stop", || left(&guest));
    checks.check("broken files are written", || nonsense::prepare(&guest));
    checks.check("poweroff succeeds", || off(&guest));
    Ok(())
}

fn hooks(guest: &Guest) -> Result<()> {
    let said = eventually(SOON, || {
        let said = guest.sh("cat /run/hooks")?;
        ensure!(said.lines().count() == 2, "{said}");
        Ok(said)
    })?;
    let words = |n: usize| {
        said.lines()
            .nth(n)
            .and_then(|l| l.split_once(' '))
            .unwrap_or_default()
    };
    ensure!(words(0).1 == "bootsync hello you", "{said}");
    ensure!(words(1).1 == "bootlocal hello you", "{said}");
    let log = guest.sh("b2p log bootsync")?;
    ensure!(log.contains("said by bootsync"), "{log}");
    let began = guest.sh("stat -c %Y /proc/$(pidof podman); stat -c %Y /run/hooks")?;
    println!("podman began and bootlocal wrote at {began:?}");
    let order = guest.sh("b2p boot --json")?;
    let rows: serde_json::Value = serde_json::from_str(&order)?;
    let at = |name: &str, key: &str| {
        let mut all = rows["rows"].as_array().into_iter().flatten();
        let row = all
            .find(|r| r["name"] == name)
            .with_context(|| format!("{name}: {order}"))?;
        row[key].as_u64().with_context(|| format!("{key} of {row}"))
    };
    ensure!(
        at("podman", "start_us")? >= at("bootsync", "end_us")?,
        "the engine came first: {order}"
    );
    Ok(())
}

fn left(guest: &Guest) -> Result<()> {
    let lines = "b2p log bootsync | grep -c 'still here'";
    let before: u32 = guest.sh(lines)?.parse()?;
    eventually(SOON, || {
        let now: u32 = guest.sh(lines)?.parse()?;
        ensure!(now > before, "{now} lines");
        Ok(())
    })?;
    let sleeps = "ps -e -o args | grep -c '^sleep 3600'";
    equals(guest, sleeps, "1")?;
    guest.sh("b2p stop bootlocal")?;
    equals(guest, &format!("{sleeps} || true"), "0")
}

/// Checks the list of files in the guide.
#[test]
fn the_files_are_where_the_page_says() -> Result<()> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide/configure.md");
    let page = fs::read_to_string(page)?;
    for name in [
        "config",
        "hostname",
        "profile",
        "bootsync.sh",
        "bootlocal.sh",
        "certs/",
        "registries.conf.d/",
        "certs.d/",
        "authorized_keys",
    ] {
        ensure!(
            page.contains(&format!("`{name}")),
            "{name} is not in docs/guide/configure.md"
        );
    }
    Ok(())
}
