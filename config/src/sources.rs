// SPDX-License-Identifier: Apache-2.0
//! Sources of the configuration, as raw bytes.

/// One fw_cfg entry below `/sys/firmware/qemu_fw_cfg/by_name/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FwCfg<'a> {
    /// Part of the path after `opt/org.boot2podman/`: a flag without its `b2p.`.
    pub name: &'a [u8],
    /// Value of the flag; newlines and NULs at its end are ignored. A repeatable flag takes one
    /// value per line, with `#` comments and empty lines.
    pub value: &'a [u8],
}

/// Raw bytes of every source; an absent source is an empty slice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sources<'a> {
    /// Kernel command line.
    pub cmdline: &'a [u8],
    /// fw_cfg entries.
    pub fw_cfg: &'a [FwCfg<'a>],
    /// SMBIOS table. An OEM string that begins with `boot2podman:` holds a flag as in fw_cfg,
    /// followed by `=` and its value up to the end of the string.
    pub smbios: &'a [u8],
    /// `/var/lib/boot2podman/config` of the data disk: one flag per line, with or without `b2p.`,
    /// its value with or without double quotes; `#` comments.
    pub disk: &'a [u8],
    /// Flags that follow from a document of Ignition or from cloud-init's user-data, in the same form.
    pub document: &'a [u8],
    /// `/var/lib/boot2podman/hostname` of the data disk, used if no flag names the machine.
    pub hostname: &'a [u8],
    /// Variables that the profile on the data disk exports, one `NAME=value` per line.
    pub environment: &'a [u8],
    /// Services of the boot scripts on the data disk, one name per line. These services start at
    /// boot unless a flag turns them off.
    pub hooks: &'a [u8],
}
