//! What a server granted, as plain data.

use std::net::Ipv4Addr;

/// An address for a while, with what came along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Ours until it expires.
    pub addr: Ipv4Addr,
    /// Length of the network part, 0 to 32.
    pub prefix: u8,
    /// Routes: network, prefix length, gateway (0.0.0.0: on the link).
    pub routes: Vec<Route>,
    /// Name servers, in the server's order.
    pub dns: Vec<Ipv4Addr>,
    /// Time servers, in the server's order.
    pub ntp: Vec<Ipv4Addr>,
    /// The domain to search, if it is a name.
    pub domain: Option<String>,
    /// Interface MTU in bytes, if it is a plausible one.
    pub mtu: Option<u16>,
    /// The name the server has for this machine, if it is one.
    pub hostname: Option<String>,
    /// Who granted it; renewals go there.
    pub server: Ipv4Addr,
    /// Seconds after which to renew, to ask anyone, and to give up (RFC 2131, 4.4.5).
    pub times: Times,
}

/// Seconds since the lease was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// T1: ask the server that granted it.
    pub renew: u32,
    /// T2: ask any server.
    pub rebind: u32,
    /// The address is no longer ours.
    pub expire: u32,
}

/// One route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The network it leads to.
    pub network: Ipv4Addr,
    /// Length of its prefix.
    pub prefix: u8,
    /// By whom; 0.0.0.0 means directly.
    pub gateway: Ipv4Addr,
}

impl Route {
    /// Everything, by `gateway`.
    #[must_use]
    pub fn default_by(gateway: Ipv4Addr) -> Route {
        Route {
            network: Ipv4Addr::UNSPECIFIED,
            prefix: 0,
            gateway,
        }
    }
}

/// A netmask of `prefix` bits.
#[must_use]
pub fn netmask(prefix: u8) -> Ipv4Addr {
    let bits = u32::MAX
        .checked_shl(32 - u32::from(prefix.min(32)))
        .unwrap_or(0);
    Ipv4Addr::from(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks() {
        assert_eq!(netmask(24), Ipv4Addr::new(255, 255, 255, 0));
        assert_eq!(netmask(0), Ipv4Addr::UNSPECIFIED);
        assert_eq!(netmask(32), Ipv4Addr::BROADCAST);
        assert_eq!(netmask(200), Ipv4Addr::BROADCAST);
    }
}
