// SPDX-License-Identifier: Apache-2.0
//! Arguments of the network service `b2p net`, from the network setting.

use std::net::Ipv4Addr;

use crate::settings::Net;

impl Net {
    /// Returns the arguments of `b2p net`: `dhcp DEVICE`, or
    /// `static DEVICE ADDRESS PREFIX GATEWAY [DNS …]`. `None` if no service is to run.
    ///
    /// DEVICE is `any` where the setting names none, GATEWAY 0.0.0.0.
    #[must_use]
    pub fn helper_args(&self) -> Option<Vec<String>> {
        let name_of = |device: &Option<String>| device.clone().unwrap_or_else(|| "any".into());
        match self {
            Net::Off => None,
            Net::Dhcp { device } => Some(vec!["dhcp".into(), name_of(device)]),
            Net::Static {
                addr,
                prefix,
                gateway,
                dns,
                device,
            } => {
                let gateway = gateway.unwrap_or(Ipv4Addr::UNSPECIFIED);
                let mut args = vec![
                    "static".into(),
                    name_of(device),
                    addr.to_string(),
                    prefix.to_string(),
                    gateway.to_string(),
                ];
                args.extend(dns.iter().map(ToString::to_string));
                Some(args)
            }
        }
    }

    /// Returns the name of the one interface of the setting, if the setting names an interface.
    #[must_use]
    pub fn device(&self) -> Option<&str> {
        match self {
            Net::Off => None,
            Net::Dhcp { device } | Net::Static { device, .. } => device.as_deref(),
        }
    }
}
