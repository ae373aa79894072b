// SPDX-License-Identifier: Apache-2.0
//! Kernel modules that are requested one after the other, loaded together.

use log::debug;
use sys::modules::Modules;

/// Modules that the first use of another module requests.
pub struct Prefetch {
    /// Module whose loading starts the rest.
    pub first: &'static str,
    /// Modules that are requested next.
    pub followers: &'static [&'static str],
    /// Cost of loading them one request at a time.
    pub why: &'static str,
}

/// All modules that are loaded together.
#[rustfmt::skip]
pub const PREFETCH: &[Prefetch] = &[
    Prefetch {
        first: "bridge",
        followers: &["veth", "nft_chain_nat", "nft_masq", "nft_fib_inet", "nft_ct"],
        why: "netavark makes a bridge and then rules; at each expression that nf_tables does not know it undoes the whole transaction and requests a module, two or three times: 25 processes and 130 ms of the first container",
    },
];

/// Loads the followers of modules that `modules` has just loaded.
pub fn load_followers(modules: &mut Modules) {
    for prefetch in PREFETCH {
        if modules.has_loaded(prefetch.first) {
            for name in prefetch.followers {
                // A program that needs the module requests the module again, and gets the error.
                if let Err(e) = modules.load(name) {
                    debug!("with {}: {name}: {e}", prefetch.first);
                }
            }
        }
    }
}

/// Loads the modules of containers' networks.
pub fn load_for_containers(modules: &mut Modules) {
    if let Err(e) = modules.load("bridge") {
        debug!("for containers: bridge: {e}");
    }
    load_followers(modules);
}
