// SPDX-License-Identifier: Apache-2.0
//! Keys on lines of general-purpose input, as a device tree describes them (`gpio-keys`,
//! Documentation/devicetree/bindings/input/gpio-keys.yaml). QEMU's `virt` board of aarch64 has its
//! power button there, unless its firmware brings ACPI.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use sys::error::{Error, Result};
use sys::gpio;

/// Device tree of the machine.
pub const DEVICE_TREE: &str = "/sys/firmware/devicetree/base";
/// Directory with an entry for each chip.
pub const CHIPS: &str = "/sys/bus/gpio/devices";

/// Flag `GPIO_ACTIVE_LOW` of a line (include/dt-bindings/gpio/gpio.h).
const ACTIVE_LOW: u32 = 1;

/// A key of the device tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpioKey {
    /// Path of its node below the tree.
    pub name: String,
    /// Number by which the tree names the chip.
    chip: u32,
    /// Number of the line.
    line: u32,
    /// True if a press makes the line's voltage low.
    active_low: bool,
}

/// Returns the keys with one of these codes (input-event-codes.h): the children of the tree's nodes
/// that are compatible with `gpio-keys`.
#[must_use]
pub fn find(tree: &Path, codes: &[u16]) -> Vec<GpioKey> {
    let is_group = |node: &PathBuf| {
        let compatible = fs::read(node.join("compatible")).unwrap_or_default();
        compatible
            .split(|b| *b == 0)
            .any(|name| name == b"gpio-keys")
    };
    let groups = children(tree).into_iter().filter(is_group);
    let nodes = groups.flat_map(|group| children(&group));
    nodes.filter_map(|node| key(tree, &node, codes)).collect()
}

fn children(node: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(node).into_iter().flatten().flatten();
    let mut children: Vec<_> = entries.map(|entry| entry.path()).collect();
    children.sort();
    children
}

fn key(tree: &Path, node: &Path, codes: &[u16]) -> Option<GpioKey> {
    let code = cells(&node.join("linux,code"));
    if !codes.iter().any(|known| code == [u32::from(*known)]) {
        return None;
    }
    let gpios = cells(&node.join("gpios"));
    let (chip, line) = (*gpios.first()?, *gpios.get(1)?);
    let flags = gpios.get(2).copied().unwrap_or_default();
    let name = node.strip_prefix(tree).ok()?.display().to_string();
    Some(GpioKey {
        name,
        chip,
        line,
        active_low: flags & ACTIVE_LOW != 0,
    })
}

/// Returns a property of cells: big-endian numbers of 32 bits (Devicetree Specification, 2.2.4).
fn cells(property: &Path) -> Vec<u32> {
    let bytes = fs::read(property).unwrap_or_default();
    let (cells, _) = bytes.as_chunks::<4>();
    cells.iter().map(|cell| u32::from_be_bytes(*cell)).collect()
}

/// Opens the line of a key, for events of presses. `chips` is [`CHIPS`].
///
/// # Errors
/// The chip does not exist, or the line is in use.
pub fn open(key: &GpioKey, chips: &Path) -> Result<File> {
    let chip = chip(key, chips).ok_or_else(|| {
        let (name, chip) = (&key.name, key.chip);
        Error::invalid(format!("{name}: no driver has made the chip {chip}"))
    })?;
    gpio::rising_edges(&chip, key.line, key.active_low)
}

/// Returns the device node of a key's chip.
fn chip(key: &GpioKey, chips: &Path) -> Option<PathBuf> {
    let is_chip = |entry: &PathBuf| cells(&entry.join("of_node/phandle")) == [key.chip];
    let entry = children(chips).into_iter().find(is_chip)?;
    Some(Path::new("/dev").join(entry.file_name()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn write(path: &Path, bytes: &[u8]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    #[test]
    fn the_power_key_of_qemus_board_is_found_with_its_chip() {
        let dir = std::env::temp_dir().join(format!("b2p-gpio-{}", std::process::id()));
        let (tree, chips) = (dir.join("tree"), dir.join("chips"));
        write(&tree.join("gpio-keys/compatible"), b"gpio-keys\0");
        write(&tree.join("gpio-keys/poweroff/linux,code"), &[0, 0, 0, 116]);
        let gpios = [0, 0, 0x80, 2, 0, 0, 0, 3, 0, 0, 0, 0];
        write(&tree.join("gpio-keys/poweroff/gpios"), &gpios);
        write(&tree.join("gpio-keys/mute/linux,code"), &[0, 0, 0, 113]);
        write(&tree.join("gpio-keys/mute/gpios"), &gpios);
        write(&tree.join("other/poweroff/linux,code"), &[0, 0, 0, 116]);
        write(&tree.join("other/poweroff/gpios"), &gpios);
        let expected = GpioKey {
            name: "gpio-keys/poweroff".into(),
            chip: 0x8002,
            line: 3,
            active_low: false,
        };
        assert_eq!(find(&tree, &[116, 0x198]), std::slice::from_ref(&expected));
        assert_eq!(chip(&expected, &chips), None);
        write(&chips.join("gpiochip0/of_node/phandle"), &[0, 0, 0, 1]);
        write(&chips.join("gpiochip1/of_node/phandle"), &[0, 0, 0x80, 2]);
        assert_eq!(chip(&expected, &chips), Some("/dev/gpiochip1".into()));
        let low = [&gpios[..11], &[1]].concat();
        write(&tree.join("gpio-keys/poweroff/gpios"), &low);
        assert!(find(&tree, &[116])[0].active_low);
        // An empty property and a cut one are no key, and neither is a machine without a tree.
        write(&tree.join("gpio-keys/poweroff/gpios"), &gpios[..7]);
        assert_eq!(find(&tree, &[116]), []);
        write(&tree.join("gpio-keys/poweroff/linux,code"), &[]);
        assert_eq!(find(&tree, &[116]), []);
        assert_eq!(find(&dir.join("none"), &[116]), []);
        fs::remove_dir_all(dir).unwrap();
    }
}
