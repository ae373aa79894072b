// SPDX-License-Identifier: Apache-2.0
//! Sockets of `GetAttachSockets`.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::Path;

use varlink::Value;

use super::api::{Outcome, occurred, string};

/// Directory of links to the directories of sockets: the path of a socket has at most 107 bytes
/// (unix(7)), and those in podman's storage have more.
const SOCKETS: &str = "/run/podman/attach";

/// Returns a link to the directory of the sockets of a container that was inspected.
pub(super) fn link_of(found: &Value) -> Outcome<String> {
    let (id, dir) = (string(found, "Id"), string(found, "StaticDir"));
    let link = link(Path::new(SOCKETS), &id, &dir);
    link.map_err(|e| occurred(&format!("{SOCKETS}: {e}")))
}
/// Makes a link to the directory of a container, and removes those of containers that are gone.
fn link(sockets: &Path, id: &str, dir: &str) -> std::io::Result<String> {
    fs::DirBuilder::new()
        .mode(0o700)
        .recursive(true)
        .create(sockets)?;
    for entry in fs::read_dir(sockets)?.flatten() {
        if !entry.path().exists() {
            let _ = fs::remove_file(entry.path());
        }
    }
    let link = sockets.join(super::http::part(id));
    match symlink(dir, &link) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    Ok(link.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;

    #[test]
    fn a_link_leads_to_the_sockets_and_ends_with_the_container() {
        let temp = Temp::new();
        let (sockets, one, two) = (temp.path("sockets"), temp.path("one"), temp.path("two"));
        fs::create_dir(&one).unwrap();
        fs::create_dir(&two).unwrap();
        for _ in 0..2 {
            let found = link(&sockets, "abc", one.to_str().unwrap()).unwrap();
            assert_eq!(fs::read_link(found).unwrap(), one);
        }
        fs::remove_dir(&one).unwrap();
        link(&sockets, "../x", two.to_str().unwrap()).unwrap();
        let names: Vec<_> = fs::read_dir(&sockets)
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(names, ["%2E%2E%2Fx"]);
    }
}
