// SPDX-License-Identifier: Apache-2.0
//! Flags that turn a part of the machine on or off.

use crate::flags::Flag;
use crate::values::on_off;

pub(crate) const TEMPLATE: Flag = Flag {
    name: "b2p.template",
    values: "off, on",
    default: "off",
    description: "wait, before anything unique exists, until a host has loaded this memory into another machine, as podman-machine create --saved does",
    value_optional: true,
    before_data_disk: true,
    apply: |to, text| on_off(text).map(|on| to.config.template = on),
    ..Flag::EMPTY
};

pub(crate) const VARLINK: Flag = Flag {
    name: "b2p.varlink",
    values: "on, off",
    default: "on",
    description: "varlink services: the resolver, the machine's own interface, that of podman 1; started at the first connection",
    apply: |to, text| on_off(text).map(|on| to.config.varlink = on),
    ..Flag::EMPTY
};
