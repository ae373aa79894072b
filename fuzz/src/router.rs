//! What routers say, as the kernel hands it on. The reader is part of a program, so its
//! file is taken as it is.

use reader::{Servers, parse};

pub use b2p::helpers::net::router as reader;

pub(crate) const WORDS: &[&str] = &[
    "\x44\0",
    "\x0a\0\x18\0",
    "\x0a\0\x28\0",
    "\x19\x03\0\0",
    "\x19\x05\0\0",
    "\0\0\x02\x58",
    "\x20\x01\x0d\x38",
];

/// The input is what was read from the socket.
///
/// - Whatever is told leads to servers that a machine can have.
/// - However many are told of, few are kept, and none for longer than was said.
pub fn router(data: &[u8]) {
    let mut servers = Servers::default();
    for advertisement in parse(data) {
        let usable = |a: &std::net::Ipv6Addr| !a.is_unspecified() && !a.is_multicast();
        assert!(
            advertisement.servers.iter().all(usable),
            "{advertisement:?}"
        );
        let before = servers.list();
        let changed = servers.update(&advertisement, 1_000);
        assert_eq!(changed, servers.list() != before);
    }
    assert!(servers.list().len() <= 4);
    while let Some(at) = servers.deadline() {
        assert!(at > 1_000, "it would never sleep");
        assert!(servers.expire(at));
    }
}
