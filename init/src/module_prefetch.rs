//! Kernel modules that are asked for one after the other, loaded together.

use log::debug;

use sys::modules::Modules;

/// The first, those that follow, why.
#[rustfmt::skip]
const PREFETCH: &[(&str, &[&str], &str)] = &[
    ("bridge", &["veth", "nft_chain_nat", "nft_masq", "nft_fib_inet", "nft_ct"],
     "netavark makes a bridge and then rules; at each word that nf_tables does not know it undoes all and asks, twice or three times: 25 processes and 130 ms"),
];

/// Loads what the first use of a module asks for next, if `modules` has just loaded it.
pub fn load_followers(modules: &mut Modules) {
    for (trigger, others, _) in PREFETCH {
        if modules.has_loaded(trigger) {
            for name in *others {
                // Who needs it asks for it again, and hears why it is not there.
                let one = modules.load(name);
                debug!("beside {trigger}: {name}: {one:?}");
            }
        }
    }
}

/// Loads the modules of containers' networks.
pub fn for_containers(modules: &mut Modules) {
    let one = modules.load("bridge");
    debug!("for containers: {one:?}");
    load_followers(modules);
}
