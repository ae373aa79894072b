// SPDX-License-Identifier: Apache-2.0
//! Checks of what a machine shares with its host, of its settings and of its copies.

use super::Host;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::path::Path;

/// Bytes of the disk after `resize`.
const LARGER: u64 = 120 << 30;

/// Memory of a guest with 1200 MiB, less the share of the kernel.
const MIN_MEMORY_KIB: u64 = 1_050_000;
/// Room of a file system on a disk of 120 GiB, less its own data.
const MIN_ROOM_KIB: u64 = 105 << 20;

/// Makes a folder that the machine's user may write to; returns the value of `-v`.
fn volume(dir: &Path) -> Result<String> {
    let folder = dir.join("a folder");
    fs::create_dir(&folder)?;
    let _ = chown(&folder, Some(1000), Some(1000));
    fs::write(folder.join("host"), "of the host")?;
    Ok(format!("{}:/mnt/folder", folder.display()))
}

fn check_shared_folder(host: &Host) -> Result<()> {
    ensure!(host.ok(&["ssh", "box", "cat /mnt/folder/host"])? == "of the host");
    host.ok(&["ssh", "box", "echo of the machine >/mnt/folder/machine"])?;
    let text = fs::read_to_string(host.dir.path().join("a folder/machine"))?;
    ensure!(text == "of the machine\n", "{text}");
    Ok(())
}

/// Shares two folders from the next start on, and takes one back.
fn add_and_remove_shares(host: &Host) -> Result<()> {
    let other = format!("{}:/mnt/other:ro", host.dir.path().display());
    host.ok(&["share", "add", "box", &volume(host.dir.path())?])?;
    host.ok(&["share", "add", "box", &other])?;
    host.ok(&["share", "rm", "box", "/mnt/other"])?;
    let error = host.fails(&["share", "rm", "box", "/mnt/other"], 1)?;
    ensure!(
        error.starts_with("Error: nothing is shared at /mnt/other"),
        "{error}"
    );
    let list = host.ok(&["share", "list", "box"])?;
    ensure!(has_words(&list, "/mnt/folder rw"), "{list}");
    Ok(())
}

/// Changes settings, some of which take effect at the next start.
pub fn change_settings(host: &Host) -> Result<()> {
    add_and_remove_shares(host)?;
    host.ok(&["resize", "box", "120G"])?;
    let sectors = host.ok(&["ssh", "box", "cat /sys/block/vda/size"])?;
    ensure!(sectors == (LARGER / 512).to_string(), "{sectors} sectors");
    let error = host.fails(&["resize", "box", "100G"], 1)?;
    ensure!(error.contains("cannot shrink"), "{error}");
    host.ok(&["set", "box", "memory=1200M", "--cpus", "2"])?;
    let port = tests::ports::free()?;
    let mapping = format!("{port}:22");
    host.ok(&["ports", "add", "box", &mapping])?;
    ensure!(banner(port)?.starts_with("SSH-2.0-"));
    let list = host.ok(&["ports", "box"])?;
    ensure!(has_words(&list, "yes yes"), "{list}");
    fs::write(host.dir.path().join("port"), port.to_string())?;
    Ok(())
}

/// Returns true if the words follow one another in a table, whatever the widths of its columns.
fn has_words(table: &str, words: &str) -> bool {
    let table: Vec<&str> = table.split_whitespace().collect();
    table.join(" ").contains(words)
}

fn banner(port: u16) -> Result<String> {
    let mut line = String::new();
    BufReader::new(TcpStream::connect(("127.0.0.1", port))?).read_line(&mut line)?;
    Ok(line)
}

/// Checks the settings after the next start.
pub fn check_settings_after_restart(host: &Host) -> Result<()> {
    let memory = host.ok(&["ssh", "box", "awk '/^MemTotal/ {print $2}' /proc/meminfo"])?;
    ensure!(memory.parse::<u64>()? > MIN_MEMORY_KIB, "{memory} kB");
    let room = host.ok(&[
        "ssh",
        "box",
        "df -k /var/lib/containers | awk 'END {print $2}'",
    ])?;
    ensure!(room.parse::<u64>()? > MIN_ROOM_KIB, "{room} kB");
    let port = fs::read_to_string(host.dir.path().join("port"))?;
    ensure!(banner(port.parse()?)?.starts_with("SSH-2.0-"));
    host.ok(&["ports", "rm", "box", &port])?;
    ensure!(TcpListener::bind(("127.0.0.1", port.parse()?)).is_ok());
    check_shared_folder(host)
}

/// Checks that `connect` adds a connection of podman, and `disconnect` removes it.
pub fn check_connection(host: &Host) -> Result<()> {
    let file = host
        .dir
        .path()
        .join("config/containers/podman-connections.json");
    ensure!(!file.exists(), "nobody has asked for a connection");
    host.ok(&["connect", "box"])?;
    let text = fs::read_to_string(&file)?;
    ensure!(
        text.contains(&host.ok(&["url", "box"])?) && !text.contains("Default"),
        "{text}"
    );
    host.ok(&["disconnect", "box"])?;
    ensure!(!fs::read_to_string(&file)?.contains("podman.sock"));
    Ok(())
}

/// Copies, moves and renames the machine, which is off.
pub fn copies(host: &Host) -> Result<()> {
    let archive = host.dir.path().join("machine.tar");
    let archive = archive.to_str().context("a path of UTF-8")?;
    host.ok(&["clone", "box", "copy"])?;
    host.ok(&["export", "box", archive])?;
    host.ok(&["import", archive, "third"])?;
    ensure!(host.ok(&["ls", "-q"])? == "box\ncopy\nthird");
    host.ok(&["rename", "third", "fourth"])?;
    host.ok(&["rm", "-y", "copy", "fourth"])?;
    host.ok(&["rename", "box", "other"])?;
    host.ok(&["rename", "other", "box"])?;
    ensure!(host.ok(&["prune", "--dry-run"])?.is_empty());
    Ok(())
}
