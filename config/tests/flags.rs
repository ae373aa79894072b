// SPDX-License-Identifier: Apache-2.0
//! Flags with every form of their values; network.rs has those of the network.

mod common;

use common::{ED25519, KEYS, RSA, good, with};
use config::{
    AutoUpdate, Config, Console, DiskSelector, Etc, FormatPolicy, Loglevel, Podman, Rootless,
    SharedFolder, Swap, WaitUsb, ZramSize,
};

#[test]
fn no_flag_gives_the_default_configuration() {
    for line in [
        "",
        "\n",
        "console=ttyS0",
        "quiet root=/dev/vda1 ro -- b2p.net=off",
    ] {
        assert_eq!(good(line), Config::default(), "{line}");
    }
}

#[test]
fn ssh_keys_are_parsed() {
    for key in KEYS {
        let expected = with(|config| config.ssh_keys = vec![key.to_owned()]);
        assert_eq!(good(&format!("b2p.ssh_key=\"{key}\"")), expected);
        assert_eq!(good(&format!("\"b2p.ssh_key={key}\" quiet")), expected);
        assert_eq!(good(&format!("b2p.ssh-key=\"  {key} \"")), expected);
    }
    let two = format!("b2p.ssh_key=\"{ED25519}\" b2p.ssh_key=\"{RSA}\" b2p.ssh_key=\"{ED25519}\"");
    assert_eq!(good(&two).ssh_keys, [ED25519, RSA]);
}

#[test]
fn ssh_key_with_options_and_without_comment() {
    let bare = ED25519.trim_end_matches(" who");
    for key in [
        bare.to_owned(),
        format!("no-pty,from=10.0.0.0/8 {bare}"),
        format!("from=\"10.0.0.0/8\" {ED25519} with words"),
    ] {
        assert_eq!(good(&format!("b2p.ssh_key=\"{key}\"")).ssh_keys, [key]);
    }
}

#[test]
fn b2p_data_is_parsed() {
    let label = |name: &str| DiskSelector::Label(name.to_owned());
    for (value, data) in [
        ("auto", DiskSelector::Auto),
        ("off", DiskSelector::Off),
        ("LABEL=b2p-data", label("b2p-data")),
        ("\"LABEL=my disk\"", label("my disk")),
        ("LABEL=\"my disk\"", label("my disk")),
        ("LABEL=città=1", label("città=1")),
        ("UUID=1234-ABcd", DiskSelector::Uuid("1234-ABcd".to_owned())),
        (
            "PARTUUID=deadbeef-01",
            DiskSelector::PartUuid("deadbeef-01".to_owned()),
        ),
        (
            "/dev/nvme0n1p2",
            DiskSelector::Device("/dev/nvme0n1p2".to_owned()),
        ),
        (
            "/dev/mapper/a-b",
            DiskSelector::Device("/dev/mapper/a-b".to_owned()),
        ),
    ] {
        let line = format!("b2p.data={value} quiet");
        assert_eq!(good(&line), with(|config| config.data = data), "{line}");
    }
}

#[test]
fn flags_with_keyword_values() {
    let check = |line: &str, expected: Config| assert_eq!(good(line), expected, "{line}");
    check(
        "b2p.format=magic",
        with(|to| to.format = FormatPolicy::Magic),
    );
    check(
        "b2p.format=blank",
        with(|to| to.format = FormatPolicy::Blank),
    );
    check(
        "b2p.format=never",
        with(|to| to.format = FormatPolicy::Never),
    );
    check(
        "b2p.console=status",
        with(|to| to.console = Console::Status),
    );
    check("b2p.console=shell", with(|to| to.console = Console::Shell));
    check("b2p.console=off", with(|to| to.console = Console::Off));
    check(
        "b2p.podman=ondemand",
        with(|to| to.podman = Podman::OnDemand),
    );
    check("b2p.podman=boot", with(|to| to.podman = Podman::Boot));
    check("b2p.podman=off", with(|to| to.podman = Podman::Off));
    let user = |name: &str, uid| with(|to| (to.user, to.uid) = (name.to_owned(), uid));
    check("b2p.user=ann", user("ann", 1000));
    check("b2p.user=core:501", user("core", 501));
    check("b2p.user=ann:1234567890", user("ann", 1_234_567_890));
    check("b2p.etc=all", with(|to| to.etc = Etc::All));
    check("b2p.varlink=off", with(|to| to.varlink = false));
    check("b2p.varlink=on", Config::default());
    check("b2p.rootless=off", with(|to| to.rootless = Rootless::Off));
    check(
        "b2p.rootless=default",
        with(|to| to.rootless = Rootless::Default),
    );
    check(
        "b2p.loglevel=error",
        with(|to| to.loglevel = Loglevel::Error),
    );
    check("b2p.loglevel=warn", with(|to| to.loglevel = Loglevel::Warn));
    check("b2p.loglevel=info", with(|to| to.loglevel = Loglevel::Info));
    check(
        "b2p.loglevel=debug",
        with(|to| to.loglevel = Loglevel::Debug),
    );
    check(
        "b2p.loglevel=trace",
        with(|to| to.loglevel = Loglevel::Trace),
    );
    assert!(Loglevel::Error < Loglevel::Info && Loglevel::Info < Loglevel::Trace);
}

#[test]
fn switches_take_on_and_off() {
    type Field = fn(&mut Config) -> &mut bool;
    let flags: [(&str, bool, Field); 9] = [
        ("b2p.template", true, |to| &mut to.template),
        ("b2p.sshd", true, |to| &mut to.sshd),
        ("b2p.rescue", true, |to| &mut to.rescue),
        ("b2p.routed", true, |to| &mut to.routed),
        ("b2p.container_ssh", true, |to| &mut to.container_ssh),
        ("syslog", true, |to| &mut to.syslog),
        ("noutc", false, |to| &mut to.utc),
        ("noswap", false, |to| &mut to.swap_allowed),
        ("noautologin", false, |to| &mut to.autologin),
    ];
    for (name, on, field) in &flags {
        for (suffix, given) in [
            ("", true),
            ("=on", true),
            ("=yes", true),
            ("=1", true),
            ("=true", true),
            ("=off", false),
            ("=no", false),
            ("=0", false),
            ("=false", false),
        ] {
            let line = format!("{name}{suffix}");
            let expected = with(|to| *field(to) = if given { *on } else { !*on });
            assert_eq!(good(&line), expected, "{line}");
        }
    }
}

#[test]
fn waitusb_is_parsed() {
    let wait = |seconds, disk| with(|to| to.waitusb = Some(WaitUsb { seconds, disk }));
    assert_eq!(good("waitusb=0"), wait(0, None));
    assert_eq!(good("waitusb=3600"), wait(3600, None));
    let label = DiskSelector::Label("b2p-data".to_owned());
    assert_eq!(good("waitusb=5:LABEL=b2p-data"), wait(5, Some(label)));
    let uuid = DiskSelector::Uuid("1234-ABCD".to_owned());
    assert_eq!(good("waitusb=5:UUID=1234-ABCD"), wait(5, Some(uuid)));
    let device = DiskSelector::Device("/dev/sdb".to_owned());
    assert_eq!(good("waitusb=5:/dev/sdb"), wait(5, Some(device)));
}

#[test]
fn tiny_core_texts() {
    for zone in [
        "UTC",
        "CET-1CEST,M3.5.0,M10.5.0/3",
        "<+0330>-3:30",
        "Europe/Berlin",
        ":Asia/Tokyo",
        "Etc/GMT+1",
    ] {
        let expected = with(|to| to.tz = Some(zone.to_owned()));
        assert_eq!(good(&format!("tz={zone}")), expected);
    }
    for server in ["pool.ntp.org", "10.0.2.2", "fd00::1", "::ffff:10.0.2.2"] {
        let expected = with(|to| to.ntpserver = Some(server.to_owned()));
        assert_eq!(good(&format!("ntpserver={server}")), expected);
    }
}

#[test]
fn b2p_on_and_b2p_off_are_parsed() {
    let expected = with(|to| {
        to.services = vec![("web".into(), false), ("net".into(), true)];
    });
    assert_eq!(good("b2p.off=net,web b2p.on=net"), expected);
    let long = "a".repeat(64);
    let longest = with(|to| to.services = vec![(long.clone(), false)]);
    assert_eq!(good(&format!("b2p.off={long}")), longest);
    let terminal = with(|to| to.services = vec![("console-ttys0".into(), false)]);
    assert_eq!(good("b2p.off=console-ttyS0"), terminal);
    assert_eq!(
        good("b2p.off=store,own"),
        good("b2p.off=image-sync,user-services")
    );
    assert_eq!(
        good("b2p.off=late-drivers b2p.on=settle"),
        good("b2p.on=late-drivers")
    );
    for bad in ["a/b", "-a", "TTY", "a.b", &"a".repeat(65)] {
        let line = format!("b2p.off={bad},good");
        let (config, diagnostics) = config::parse(line.as_bytes(), &[]);
        assert_eq!(config.services, [("good".to_owned(), false)], "{bad}");
        assert_eq!(diagnostics.len(), 1, "{bad}");
    }
}

#[test]
fn blacklist_is_parsed() {
    let expected = with(|to| {
        to.blacklist = ["floppy", "snd_hda_intel", "pcspkr"]
            .map(str::to_owned)
            .into();
    });
    let line = "blacklist=floppy,snd-hda-intel, blacklist=pcspkr,snd_hda_intel";
    assert_eq!(good(line), expected);
}

#[test]
fn swapfile_is_parsed() {
    let device = DiskSelector::Device("/dev/sda1".to_owned());
    for value in ["sda1", "/dev/sda1"] {
        let expected = with(|to| to.swapfile = Some(device.clone()));
        assert_eq!(good(&format!("swapfile={value}")), expected);
    }
    let label = DiskSelector::Label("x".to_owned());
    assert_eq!(
        good("swapfile=LABEL=x"),
        with(|to| to.swapfile = Some(label))
    );
}

#[test]
fn b2p_rosetta_adds_a_shared_folder() {
    let folder = SharedFolder {
        tag: "rosetta".to_owned(),
        path: config::ROSETTA_PATH.to_owned(),
        read_only: true,
    };
    let expected = with(|to| to.shares = vec![folder]);
    for line in ["b2p.rosetta", "b2p.rosetta=on"] {
        assert_eq!(good(line), expected, "{line}");
    }
    assert_eq!(good("b2p.rosetta=off"), Config::default());
}

#[test]
fn b2p_swap_is_parsed() {
    let swaps = |line: &str| good(line).swaps;
    let zram = |share| Swap::Zram(share);
    assert_eq!(swaps("b2p.swap=zram"), [zram(ZramSize::Percent(25))]);
    assert_eq!(swaps("b2p.swap=zram:300%"), [zram(ZramSize::Percent(300))]);
    assert_eq!(swaps("b2p.swap=zram:64"), [zram(ZramSize::Mib(64))]);
    assert_eq!(swaps("b2p.swap=512"), [Swap::File(512)]);
    assert_eq!(swaps("b2p.swap=file:512"), [Swap::File(512)]);
    let device = Swap::Disk(DiskSelector::Device("/dev/vda2".to_owned()));
    assert_eq!(swaps("b2p.swap=/dev/vda2"), std::slice::from_ref(&device));
    let label = Swap::Disk(DiskSelector::Label("my swap".to_owned()));
    assert_eq!(
        swaps("b2p.swap=LABEL=\"my swap\""),
        std::slice::from_ref(&label)
    );
    assert_eq!(
        swaps("b2p.swap=zram b2p.swap=/dev/vda2 b2p.swap=zram:9 \"b2p.swap=LABEL=my swap\""),
        [device, zram(ZramSize::Mib(9)), label]
    );
    assert_eq!(swaps("b2p.swap=zram b2p.swap=off"), []);
    assert_eq!(swaps("b2p.swap=off b2p.swap=1"), [Swap::File(1)]);
}

#[test]
fn swap_is_there_when_asked_for_and_not_by_surprise() {
    let asks = |line: &str| {
        let config = good(line);
        (config.asks_for_swap(), config.swaps_to_disk())
    };
    assert_eq!(asks(""), (false, false));
    assert_eq!(asks("b2p.swap=off noswap=off"), (false, false));
    assert_eq!(asks("b2p.swap=zram"), (true, false));
    assert_eq!(asks("b2p.swap=zram b2p.swap=64"), (true, true));
    assert_eq!(asks("b2p.swap=UUID=1234-ABCD"), (true, true));
    assert_eq!(asks("swapfile=sda1"), (true, true));
    let all = "swapfile=sda1 b2p.swap=zram b2p.swap=/dev/vda1";
    assert_eq!(asks(&format!("noswap {all}")), (false, false));
    assert_eq!(asks(&format!("{all} noswap")), (false, false));
}

#[test]
fn b2p_auto_update_is_parsed() {
    let at = |hour, minute| AutoUpdate::At { hour, minute };
    for (text, when) in [
        ("off", AutoUpdate::Off),
        ("daily", AutoUpdate::Daily),
        ("03:30", at(3, 30)),
        ("0:05", at(0, 5)),
        ("23:59", at(23, 59)),
    ] {
        let expected = with(|to| to.auto_update = when);
        assert_eq!(good(&format!("b2p.auto_update={text}")), expected);
    }
    for wrong in [
        "weekly", "24:00", "3:60", "3", "3:", ":3", "003:30", "3:30:00", "+3:30", "-1:30",
    ] {
        let (config, said) = common::read(&format!("b2p.auto_update={wrong}"));
        assert_eq!(config.auto_update, AutoUpdate::Off);
        assert!(
            said[0].contains("it takes off, daily, <HH>:<MM>"),
            "{said:?}"
        );
    }
    assert!(common::read("b2p.auto_update=dayly").1[0].contains("did you mean daily?"));
}

#[test]
fn b2p_runtime_is_parsed() {
    for (text, name) in [
        ("crun", None),
        ("runc", Some("runc")),
        ("kata-2", Some("kata-2")),
    ] {
        let expected = with(|to| to.runtime = name.map(str::to_owned));
        assert_eq!(good(&format!("b2p.runtime={text}")), expected);
    }
    for wrong in ["Runc", "/usr/bin/runc", "a_b", "-a", "\"run c\""] {
        let (config, said) = common::read(&format!("b2p.runtime={wrong}"));
        assert_eq!(config.runtime, None);
        assert!(said[0].contains("not a name of a runtime"), "{said:?}");
    }
}
