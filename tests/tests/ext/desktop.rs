// SPDX-License-Identifier: Apache-2.0
//! The extension `desktop`: what is on the screen of a machine that boots into it, on the two cards
//! that QEMU has.

use crate::programs::nothing_is_missing;
use crate::{END, disk, made, says};
use anyhow::{Context, Result, ensure};
use initramfs::packages::Kernel;
use serde_json::json;
use std::fs;
use std::path::Path;
use std::time::Duration;
use tests::{Checks, Guest, disks, eventually};
use vmm::Disk;

/// Time between two keys: an emulated machine takes its time to draw.
const KEY: Duration = Duration::from_millis(150);

/// Colours of `initramfs/ext/desktop/` and of flwm, each with the smallest share of the screen in thousandths.
const COLOURS: &[(&str, [u8; 3], u32)] = &[
    ("the background", [0x26, 0x4f, 0x78], 150),
    ("the terminal", [0x10, 0x14, 0x18], 100),
    ("its text", [0xd8, 0xde, 0xe4], 1),
    ("the browser's page", [0xf4, 0xf1, 0xde], 100),
    ("the heading of the page", [0xe0, 0x7a, 0x5f], 10),
    ("frames of windows", [0xc0, 0xc0, 0xc0], 3),
];

/// Most pixels between the terminal's area and the frame of its window.
const BORDER: usize = 4;

/// A picture of the screen, row by row.
struct Screen {
    width: usize,
    pixels: Vec<[u8; 3]>,
}

impl Screen {
    /// Reads a PPM file (ppm(5), P6 with 255 levels).
    fn of(ppm: &[u8]) -> Result<Screen> {
        let mut fields = ppm.splitn(4, |byte| byte.is_ascii_whitespace());
        let mut next = || fields.next().context("the header is cut off");
        ensure!(next()? == b"P6", "no PPM file");
        let width = std::str::from_utf8(next()?)?.parse()?;
        let (_, rest) = (next()?, next()?);
        let pixels = rest.strip_prefix(b"255\n").context("no 255 levels")?;
        let pixels = pixels.as_chunks::<3>().0.to_vec();
        ensure!(pixels.len() >= 640 * 480, "{} pixels", pixels.len());
        Ok(Screen { width, pixels })
    }

    /// Expects each colour with its share.
    fn has_colours(&self) -> Result<()> {
        for (what, colour, share) in COLOURS {
            let count = self.pixels.iter().filter(|p| *p == colour).count();
            let all = self.pixels.len();
            ensure!(
                count * 1000 >= all * usize::try_from(*share)?,
                "{what}: {count} of {all} pixels"
            );
        }
        Ok(())
    }

    /// Expects that what is drawn left of the terminal, in one of the rows where it has most pixels, is the
    /// frame of its window and then the background. Buttons and the name of the window are beside the others.
    fn has_framed_terminal(&self) -> Result<()> {
        let [(_, background, _), (_, terminal, _), ..] = COLOURS else {
            return Ok(());
        };
        let count = |row: &[[u8; 3]]| row.iter().filter(|p| *p == terminal).count();
        let most = self.pixels.chunks(self.width).map(count).max();
        let rows = self.pixels.chunks(self.width);
        let mut rows = rows.filter(|row| most.is_some_and(|most| most > 0 && count(row) == most));
        let is_framed = |row: &[[u8; 3]]| {
            let left = row.split(|p| p == terminal).next().unwrap_or_default();
            let frame = left.rsplit(|p| p == background).next().unwrap_or_default();
            let is_grey = |p: &&[u8; 3]| p.iter().all(|level| *level == p[0]) && p[0] > 0x80;
            let grey = frame.iter().filter(is_grey).count();
            grey >= 8 && frame.len() - grey <= 2 * BORDER
        };
        ensure!(rows.any(is_framed), "left of the terminal is no frame");
        Ok(())
    }
}

/// Expects everything that the session shows.
fn shows_the_desktop(guest: &Guest, file: &Path) -> Result<()> {
    let arguments = json!({ "filename": file });
    guest.vm.qmp_with("screendump", &arguments)?;
    let screen = Screen::of(&fs::read(file)?)?;
    screen.has_colours()?;
    screen.has_framed_terminal()
}

/// Moves QEMU's mouse by this many steps.
fn moves(guest: &Guest, x: i32, y: i32) -> Result<()> {
    let axis =
        |axis: &str, value: i32| json!({ "type": "rel", "data": { "axis": axis, "value": value } });
    let events = json!({ "events": [axis("x", x), axis("y", y)] });
    guest.vm.qmp_with("input-send-event", &events)?;
    std::thread::sleep(KEY);
    Ok(())
}

/// Moves the pointer to the corner, then over the terminal, and clicks: that window has the keys then. Steps
/// are small, so that the server's acceleration stays small, too.
fn points(guest: &Guest) -> Result<()> {
    (0..3).try_for_each(|_| moves(guest, -1000, -1000))?;
    (0..40).try_for_each(|_| moves(guest, 4, 5))?;
    for is_down in [true, false] {
        let button = json!({ "type": "btn", "data": { "down": is_down, "button": "left" } });
        let events = json!({ "events": [button] });
        guest.vm.qmp_with("input-send-event", &events)?;
        std::thread::sleep(KEY);
    }
    Ok(())
}

/// Types a command into the terminal by the keys of QEMU's keyboard (QKeyCode).
fn types(guest: &Guest) -> Result<()> {
    points(guest)?;
    let word = |text: &str| text.chars().map(String::from).collect::<Vec<_>>();
    let keys = [
        word("touch"),
        vec!["spc".into()],
        word("typed"),
        vec!["ret".into()],
    ];
    for key in keys.concat() {
        let keys = json!({ "keys": [{ "type": "qcode", "data": key }], "hold-time": 50 });
        guest.vm.qmp_with("send-key", &keys)?;
        std::thread::sleep(KEY);
    }
    eventually(END, || says(guest, "stat -c %U /home/core/typed", "core"))
}

fn boot(card: &str, checks: &mut Checks) -> Result<()> {
    let test = format!("ext-desktop-{card}");
    let dir = disks::dir(&test)?;
    let data = disk(&dir, 256, |extensions| made(extensions, "desktop"))?;
    let machine = tests::machine_of(Kernel::Generic, &test)?
        .memory_mib(1024)
        .append("b2p.ext=desktop")
        .qemu_args(&["-device", card])
        .disk(Disk::raw(data.file()));
    let guest = Guest::start(&machine)?;
    checks.check(&format!("{card}: nothing is missing"), || {
        nothing_is_missing(&guest)
    });
    checks.check(&format!("{card}: the screen"), || {
        let file = guest.vm.dir().join("screen.ppm");
        eventually(END, || shows_the_desktop(&guest, &file)).inspect_err(|_| {
            let log =
                "b2p log desktop | tail -n 40; grep -E '[(](EE|WW)[)]' /run/boot2podman/xorg.log";
            println!("{}", guest.sh(log).unwrap_or_default());
        })
    });
    checks.check(&format!("{card}: mouse and keyboard"), || types(&guest));
    checks.check(&format!("{card}: it ends, and can be removed"), || {
        let script = "b2p ext remove desktop && ! pidof Xorg xterm dillo flwm";
        says(&guest, script, "desktop: removed")
    });
    drop(guest);
    Ok(fs::remove_dir_all(dir)?)
}

#[test]
#[ignore = "large packages to fetch: make test-all"]
fn the_desktop_is_shown_on_the_screen() -> Result<()> {
    let mut checks = Checks::new("ext-desktop");
    for card in ["VGA", "virtio-gpu-pci"] {
        boot(card, &mut checks)?;
    }
    checks.done()
}
