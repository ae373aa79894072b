//! Who is compared: the table. What each peer's machine holds beyond the common
//! userland is here and in plain files under bench/peers/<name>/root/; docs/bench.md
//! says why.

/// A peer.
#[derive(Debug)]
pub struct Peer {
    /// Its name, for `CASE=`, in the tables, and as its directory under bench/peers/.
    pub name: &'static str,
    /// What it is.
    pub what: &'static str,
    /// Taken from the packages: path, why.
    pub picks: &'static [(&'static str, &'static str)],
    /// What of that is not wanted, by how the path begins.
    pub without: &'static [&'static str],
    /// Links: path, target.
    pub links: &'static [(&'static str, &'static str)],
    /// Words on the kernel's command line.
    pub append: &'static str,
}

/// This system's name among the cases.
pub const OURS: &str = "boot2podman";

/// What all peers have.
pub const COMMON: &[(&str, &str)] = &[("usr/sbin/modprobe", "kmod's: it reads an index")];

/// The peers.
pub const PEERS: &[Peer] = &[Peer {
    name: "shell",
    what: "a shell script as PID 1, in the way of Tiny Core and boot2podman: busybox ash",
    picks: &[],
    without: &[],
    links: &[],
    append: "",
}];

/// All cases' names, in the order of the table.
pub fn order() -> Vec<&'static str> {
    let peers = PEERS.iter().map(|p| p.name);
    [OURS].into_iter().chain(peers).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image;

    #[test]
    fn each_peer_has_its_files_and_no_name_is_taken_twice() {
        let mut names = order();
        for peer in PEERS {
            let root = image::files(peer.name).join("root");
            assert!(root.is_dir(), "{}", root.display());
            assert!(!peer.what.is_empty());
        }
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
