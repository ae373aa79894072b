//! The machine as its owner wants it: from the host, and from files on the data disk.
//! One disk, three boots; docs/configure.md has the recipes.

mod nonsense;
mod servers;

use anyhow::{Context, Result, ensure};
use initramfs::qemu::{Disk, Machine};
use servers::{HOST, Plain, Tls};
use std::fs;
use std::path::Path;
use std::time::Duration;
use tests::disks::{self, Image, taken, userdata};
use tests::{Checks, Guest, eventually, image, keyless, text};

const SOON: Duration = Duration::from_secs(60);
const STATE: &str = "/var/lib/boot2podman";

struct World {
    disk: Image,
    plain: Plain,
    tls: Tls,
}

#[test]
fn configure() -> Result<()> {
    let dir = disks::dir("configure")?;
    let tar = userdata::with_key(userdata::OURS, &Guest::public_key()?)?;
    let world = World {
        disk: taken::words(&dir, "disk", &tar)?,
        plain: Plain::start()?,
        tls: Tls::start(&dir)?,
    };
    world.disk.grow(1024)?;
    let mut checks = Checks::new("configure");
    from_the_host(&world, &mut checks)?;
    from_the_disk(&world, &mut checks)?;
    nonsense::boot(&world, &mut checks)?;
    checks.done()?;
    Ok(fs::remove_dir_all(dir)?)
}

/// Keys come from the disk alone.
fn machine(world: &World, name: &str) -> Result<Machine> {
    let machine = keyless(&format!("configure-{name}"))?;
    Ok(machine.disk(Disk::raw(world.disk.file())))
}

fn off(guest: &Guest) -> Result<()> {
    guest.vm.power_button()?;
    let ended = guest.vm.wait_exit(Duration::from_secs(120))?;
    ensure!(ended.success(), "{ended}");
    Ok(())
}

fn equals(guest: &Guest, script: &str, wanted: &str) -> Result<()> {
    let said = guest.sh(script)?;
    ensure!(said == wanted, "`{script}`: {said}");
    Ok(())
}

/// Value and source of a flag, as `b2p flags` has them.
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

/// The first boot: three sources, of which the command line wins over fw_cfg and that
/// over SMBIOS; and a user with another name.
fn from_the_host(world: &World, checks: &mut Checks) -> Result<()> {
    let machine = machine(world, "host")?
        .append("b2p.hostname=by-line b2p.user=dev b2p.no_proxy=localhost,.example")
        .fw_cfg("opt/org.boot2podman/hostname", b"by-fw-cfg")
        .fw_cfg("opt/org.boot2podman/tz", b"Asia/Tokyo")
        .qemu_args(&["-smbios", "type=11,value=boot2podman:tz=Europe/Berlin"])
        .qemu_args(&[
            "-smbios",
            "type=11,value=boot2podman:loglevel=warn,value=somebody:else=x",
        ])
        .qemu_args(&[
            "-smbios",
            "type=11,value=boot2podman:http_proxy=http://10.0.2.2:1",
        ]);
    let guest = Guest::from(&machine)?;
    checks.check("nothing is missing", || whole(&guest));
    checks.check("who wins", || {
        flag(&guest, "b2p.hostname", "by-line", "command line")?;
        flag(&guest, "tz", "Asia/Tokyo", "fw_cfg")?;
        flag(&guest, "b2p.loglevel", "warn", "SMBIOS")?;
        equals(&guest, "hostname; date +%Z", "by-line\nJST")
    });
    checks.check("a user with another name", || user(&guest, "dev"));
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
    checks.check("a key that is added while it runs", || added(&guest, world));
    checks.check("an authority that nobody knows yet", || {
        let said = pull(&guest, &format!("{HOST}:{}/x:1", world.tls.port))?;
        ensure!(
            said.contains("x509") || said.contains("unknown authority"),
            "{said}"
        );
        Ok(())
    });
    checks.check("the files of the next boot", || prepare(&guest, world));
    checks.check("off", || off(&guest));
    Ok(())
}

/// All that core has.
fn user(guest: &Guest, name: &str) -> Result<()> {
    let said = guest.sh_as(name, "id; echo $HOME $XDG_RUNTIME_DIR; sudo id -un; pwd")?;
    let wanted = [
        format!("uid=1000({name}) gid=1000({name})"),
        "(podman)".to_owned(),
        format!("/home/{name} /run/user/1000"),
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

/// The engine is asked something first: it comes with the first question.
fn engine_has(guest: &Guest, variable: &str) -> Result<()> {
    guest.sh("podman --url unix:///run/podman/podman.sock info")?;
    let all = guest.sh("for p in $(pidof podman); do tr '\\0' '\\n' </proc/$p/environ; done")?;
    ensure!(all.lines().any(|l| l == variable), "no {variable}: {all}");
    Ok(())
}

/// In each of the two places where people put one.
fn added(guest: &Guest, world: &World) -> Result<()> {
    let dir = world.disk.file().parent().context("no directory")?;
    for (name, place) in [
        ("one", "/home/dev/.ssh/authorized_keys"),
        ("two", "/var/lib/boot2podman/authorized_keys"),
    ] {
        let public = userdata::rsa(dir, name)?;
        let login = || guest.login_with("dev", &dir.join(name));
        ensure!(login().is_err(), "{name} is let in before it is known");
        let script = format!(
            "mkdir -p $(dirname {place}) && echo '{}' >>{place}; chown -R dev /home/dev/.ssh",
            public.trim()
        );
        guest.sh(&script)?;
        ensure!(login()? == "dev", "{name}");
    }
    Ok(())
}

/// What podman says when it cannot pull this.
fn pull(guest: &Guest, name: &str) -> Result<String> {
    let out = guest.ssh("root", &format!("podman pull {name}"))?;
    ensure!(!out.status.success(), "{name} was pulled");
    Ok(String::from_utf8_lossy(&out.stderr).into_owned())
}

/// What is put on the disk: path below [`STATE`], content.
fn files(world: &World) -> Result<Vec<(&'static str, String)>> {
    let registries = format!(
        "[[registry]]\nprefix = \"plain.example\"\nlocation = \"{HOST}:{0}\"\ninsecure = true\n\
         [[registry]]\nlocation = \"mirrored.example\"\n\
         [[registry.mirror]]\nlocation = \"{HOST}:{0}/mirror\"\ninsecure = true\n",
        world.plain.port
    );
    let hook = |name: &str, more: &str| {
        format!("echo \"$(cut -d' ' -f1 /proc/uptime) {name} $GREETING\" >>/run/hooks\n{more}")
    };
    Ok(vec![
        ("config", "# The owner's.\nb2p.hostname=by-disk\nuser=dev\ntz = \"Europe/Berlin\"\nb2p.podman=boot\nb2p.off=time\nb2p.swap=zram:16\n".into()),
        ("hostname", "kept\n".into()),
        ("profile", "export GREETING='hello you'\nexport HTTPS_PROXY=http://10.0.2.2:3\nunexported=1\n".into()),
        ("bootsync.sh", hook("bootsync", "echo said by bootsync\ntest ! -e /run/podman-was\n")),
        ("bootlocal.sh", hook("bootlocal", "sleep 3600\n")),
        ("certs/own.pem", fs::read_to_string(&world.tls.authority)?),
        ("registries.conf.d/50-own.conf", registries),
    ])
}

fn put(guest: &Guest, path: &str, content: &str) -> Result<()> {
    let script = format!("mkdir -p $(dirname {STATE}/{path}) && cat >{STATE}/{path}");
    text(&guest.ssh_with("root", &script, content.as_bytes())?).map(drop)
}

fn prepare(guest: &Guest, world: &World) -> Result<()> {
    for (path, content) in files(world)? {
        put(guest, path, &content)?;
    }
    let archive = fs::read(image::archive(guest.vm.dir())?)?;
    text(&guest.ssh_with("root", "podman load -q", &archive)?).map(drop)
}

/// The second boot: all of it is on the disk, but for one flag that wins.
fn from_the_disk(world: &World, checks: &mut Checks) -> Result<()> {
    let guest = Guest::from(&machine(world, "disk")?.append("tz=UTC"))?;
    checks.check("nothing is missing", || whole(&guest));
    checks.check("the disk's flags, and one that wins over it", || {
        flag(&guest, "b2p.hostname", "by-disk", "data disk")?;
        flag(&guest, "b2p.user", "dev", "data disk")?;
        flag(&guest, "tz", "UTC", "command line")?;
        equals(&guest, "hostname; date +%Z", "by-disk\nUTC")?;
        equals(&guest, "grep -c zram /proc/swaps", "1")?;
        let status = guest.sh("b2p status --json time podman || true")?;
        ensure!(status.contains("\"off\""), "time runs: {status}");
        equals(&guest, "pidof podman | wc -w", "1")
    });
    checks.check("the user of the disk's flag", || user(&guest, "dev"));
    checks.check("hooks, in their order and with the profile", || {
        hooks(&guest)
    });
    checks.check("the profile, in sessions and in the engine", || {
        let said = guest.sh_as("dev", "echo $GREETING $HTTPS_PROXY $unexported; echo $PATH")?;
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin";
        ensure!(
            said == format!("hello you http://10.0.2.2:3\n{path}"),
            "{said}"
        );
        let seen = guest.at_terminal("root", &[])?;
        ensure!(!seen.contains("not found"), "{seen}");
        engine_has(&guest, "HTTPS_PROXY=http://10.0.2.2:3")
    });
    checks.check("proxies reach containers and builds", || proxies(&guest));
    checks.check("the authority is known now", || {
        let said = pull(&guest, &format!("{HOST}:{}/x:1", world.tls.port))?;
        ensure!(
            !said.contains("x509") && !said.contains("authority"),
            "{said}"
        );
        Ok(())
    });
    checks.check("an insecure registry, and a mirror", || {
        registries(&guest, world)
    });
    checks.check("what breaks the next boot", || nonsense::prepare(&guest));
    checks.check("off", || off(&guest));
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

fn proxies(guest: &Guest) -> Result<()> {
    let name = image::NAME;
    let wanted = "HTTPS_PROXY=http://10.0.2.2:3";
    for script in [
        format!("podman run --rm {name} sh -c set"),
        format!("podman --url unix:///run/podman/podman.sock run --rm {name} sh -c set"),
        format!("printf 'FROM {name}\\nRUN set\\n' | podman build --no-cache -"),
    ] {
        let said = guest.sh(&script)?.replace('\'', "");
        ensure!(said.contains(wanted), "`{script}`: {said}");
    }
    Ok(())
}

fn registries(guest: &Guest, world: &World) -> Result<()> {
    pull(guest, "plain.example/a:1")?;
    pull(guest, "mirrored.example/b:1")?;
    let asked = world.plain.asked();
    for part in ["GET /v2/a/manifests/1", "GET /v2/mirror/b/manifests/1"] {
        ensure!(
            asked.iter().any(|a| a.contains(part)),
            "no {part}: {asked:?}"
        );
    }
    Ok(())
}

/// For who reads the list of files.
#[test]
fn the_files_are_where_the_page_says() -> Result<()> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configure.md");
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
            "{name} is not in docs/configure.md"
        );
    }
    Ok(())
}
