// SPDX-License-Identifier: Apache-2.0
//! Modules of Debian's generic kernel, for real machines and for virtual ones that resemble them.
//!
//! Left out are: drivers that need firmware, which Debian's main does not contain (wireless cards,
//! bnx2, bnx2x, qla2xxx, qede); drivers of screens but virtio_gpu, because text mode and the frame buffers of
//! VESA and EFI are built in; drivers of single keyboards, all of which support the common protocol (usbhid) as well;
//! dm_mod, because the userland has no program for device mapper; am53c974, which crashes the kernel if its interrupt
//! is shared.

/// Modules of the generic kernel in addition to [`super::MODULES`].
pub const HARDWARE: &[(&str, &str)] = &[
    // Built into the cloud kernel.
    (
        "crc32c_generic",
        "ext4, btrfs and libcrc32c request it when they are loaded",
    ),
    // USB.
    (
        "xhci_pci ehci_pci ohci_pci uhci_hcd",
        "USB controllers: current ones, and three older kinds",
    ),
    ("usb_storage uas ums_realtek", "sticks, disks, card readers"),
    ("usbhid hid_generic", "keyboards"),
    // SD cards and eMMC.
    ("mmc_block", "the card as a disk"),
    (
        "sdhci_pci sdhci_acpi",
        "the standard reader; eMMC of small machines",
    ),
    (
        "rtsx_pci rtsx_pci_sdmmc rtsx_usb rtsx_usb_sdmmc",
        "Realtek's readers, in most laptops",
    ),
    ("alcor_pci alcor", "Alcor's readers"),
    // Disk controllers.
    ("vmd", "NVMe behind Intel's RAID controller"),
    (
        "mptspi mptsas BusLogic",
        "VMware's and VirtualBox's SCSI and SAS",
    ),
    ("sym53c8xx", "QEMU's older SCSI"),
    (
        "megaraid_sas mpt3sas hpsa smartpqi aacraid arcmsr",
        "servers: LSI, Dell, HP, Adaptec, Areca",
    ),
    ("isci mvsas 3w_sas 3w_9xxx", "older servers"),
    (
        "sata_nv sata_sil sata_sil24 sata_via sata_sis sata_uli",
        "onboard SATA before AHCI, of nVidia, Silicon Image, VIA, SiS and ULi",
    ),
    (
        "sata_svw sata_mv sata_promise sata_vsc",
        "SATA before AHCI, in servers and on cards",
    ),
    (
        "pata_amd pata_via pata_sis pata_atiixp pata_ali pata_sch pata_serverworks",
        "onboard parallel ATA of machines with a 64-bit processor; CD drives",
    ),
    (
        "pata_jmicron pata_marvell pata_it8213 pata_it821x pata_pdc2027x",
        "parallel ATA by a chip of its own",
    ),
    // Network cards.
    (
        "e1000 e1000e igb igc",
        "Intel's; VirtualBox, VMware, QEMU by default",
    ),
    ("ixgbe i40e ice", "Intel's in servers"),
    (
        "igbvf iavf",
        "virtual functions of Intel's that a host passes to a guest",
    ),
    ("r8169 8139too 8139cp", "Realtek's; QEMU's rtl8139"),
    ("tg3 bnxt_en", "Broadcom's"),
    (
        "mlx4_en mlx5_core",
        "Nvidia's in servers; Azure passes them on",
    ),
    ("be2net enic", "HP's and Cisco's in servers"),
    ("forcedeth", "onboard network cards of nVidia's nForce"),
    ("pcnet32", "VirtualBox's and VMware's older"),
    ("atlantic", "Aquantia's: 10 GbE in small machines"),
    ("alx atl1c atl1e atl1", "Atheros' in laptops"),
    ("sky2 skge", "Marvell's in laptops"),
    (
        "via_rhine via_velocity sis190 jme",
        "onboard network cards of VIA, SiS and JMicron chipsets",
    ),
    (
        "e100 tulip ne2k_pci",
        "old; QEMU's and Hyper-V's legacy cards",
    ),
    (
        "r8152 r8153_ecm ax88179_178a asix aqc111 smsc75xx smsc95xx lan78xx dm9601",
        "USB adapters and docks",
    ),
    (
        "cdc_ether cdc_ncm rndis_host",
        "USB adapters that follow a standard; telephones that share their connection",
    ),
    (
        "realtek broadcom marvell smsc ax88796b microchip",
        "PHYs, which the cards' drivers request",
    ),
    // Guests.
    ("vboxguest vboxsf", "VirtualBox: its clock, shared folders"),
    ("9p 9pnet_virtio", "QEMU's older shared folders"),
    ("virtio_gpu", "a screen that has no other mode"),
    // The board.
    (
        "fan acpi_cpufreq",
        "fans controlled by ACPI; frequencies of processors without intel_pstate or amd_pstate",
    ),
];

/// Modules that the slim kernel does not have: drivers of machines that are too large to need a
/// small kernel. The slim kernel has the others built in.
pub const NOT_SLIM: &[(&str, &str)] = &[
    ("xen_blkfront xen_netfront", "Xen: older EC2"),
    ("pci_hyperv mana", "Azure's passed-through devices"),
    (
        "ena gve idpf ixgbevf",
        "network cards of EC2, Google and Intel's virtual functions",
    ),
    ("tap", "macvtap: virtual machines inside"),
    (
        "vmw_vsock_vmci_transport vmw_balloon",
        "VMware beside disks and cards",
    ),
];
