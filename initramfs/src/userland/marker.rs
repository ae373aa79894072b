// SPDX-License-Identifier: Apache-2.0
//! podman's marker of a machine whose host publishes ports. podman 5 looks for it in `/etc/containers`
//! alone, over which podman machine 6 mounts a folder of its host. podman 6 therefore looks for
//! `/etc/podman-machine`, and podman of the image does so, too: a setting has no such effect.

use anyhow::{Context, Result, bail};

use crate::tree::{Node, Tree};

/// Programs that have the path.
const PROGRAMS: &[&str] = &["usr/bin/podman", "usr/libexec/podman/rootlessport"];
/// Path in podman before version 6, a constant of `pkg/machine` in containers/common.
const OLD: &[u8] = b"/etc/containers/podman-machine";
/// Path of podman 6 with as many bytes: the length of a constant is in the code that uses it.
const NEW: &[u8; OLD.len()] = b"/etc////////////podman-machine";
/// Same path as podman 6 has it.
const OF_PODMAN_6: &[u8] = b"/etc/podman-machine";

/// Has podman of the tree look for the marker where podman 6 does.
///
/// # Errors
/// A program is missing, or does not have the path exactly once.
pub fn move_out_of_containers(tree: &mut Tree) -> Result<()> {
    PROGRAMS.iter().try_for_each(|path| {
        change(tree, path).with_context(|| format!("/{path}: podman's marker"))
    })
}

fn change(tree: &mut Tree, path: &str) -> Result<()> {
    let entry = tree.get(path).context("there is no such program")?;
    let Node::File(source) = &entry.node else {
        bail!("it is no file");
    };
    let (mode, mut program) = (entry.mode, source.read()?);
    if replace(&mut program)? {
        tree.bytes(path, program, mode);
    }
    Ok(())
}

/// Replaces the path. Returns false if the program has that of podman 6 already.
fn replace(program: &mut [u8]) -> Result<bool> {
    if places(program, OF_PODMAN_6).next().is_some() {
        return Ok(false);
    }
    let all: Vec<usize> = places(program, OLD).collect();
    let &[at] = all.as_slice() else {
        bail!("its path is there {} times, not once", all.len());
    };
    program[at..at + OLD.len()].copy_from_slice(NEW);
    Ok(true)
}

fn places<'a>(program: &'a [u8], path: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let all = program.windows(path.len()).enumerate();
    all.filter_map(move |(at, window)| (window == path).then_some(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constant_changes_in_its_place() -> Result<()> {
        let mut program = b"inside {{range}}/etc/containers/podman-machinecannot over".to_vec();
        assert!(replace(&mut program)?);
        assert_eq!(
            program,
            b"inside {{range}}/etc////////////podman-machinecannot over"
        );
        let mut newer = b"/etc/podman-machine/etc/containers/podman-machine".to_vec();
        let before = newer.clone();
        assert!(!replace(&mut newer)?);
        assert_eq!(newer, before);
        Ok(())
    }

    #[test]
    fn a_podman_of_which_nothing_is_known_fails_the_build() {
        let twice = [OLD, OLD].concat();
        for mut program in [b"none".to_vec(), twice] {
            let why = replace(&mut program).expect_err("it has another number of paths");
            assert!(why.to_string().contains("times, not once"), "{why}");
        }
        let why = move_out_of_containers(&mut Tree::new()).expect_err("nothing is there");
        let why = format!("{why:#}");
        assert!(why.ends_with("there is no such program"), "{why}");
    }

    #[test]
    fn the_new_path_leads_to_podman_6s() {
        let text = String::from_utf8_lossy(NEW);
        let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty()).collect();
        assert_eq!(parts, ["etc", "podman-machine"]);
    }
}
