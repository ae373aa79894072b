#!/bin/sh
# What the host must have. Installs what is missing with apt, as root or through sudo;
# where neither is possible, names all of it in one line. Says nothing when all is there.
set -eu

packages=
need() { # need <package> <command or file that it brings>
    case $2 in
        /*) [ -e "$2" ] || packages="$packages $1" ;;
        *) command -v "$2" >/dev/null 2>&1 || packages="$packages $1" ;;
    esac
}

need mmdebstrap mmdebstrap
need debian-archive-keyring /usr/share/keyrings/debian-archive-keyring.gpg
need qemu-system-x86 qemu-system-x86_64
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
# For those of cloud-init's disks.
need xorriso xorriso
need mtools mcopy
# For the tests of shared folders.
[ -e /usr/lib/qemu/virtiofsd ] || need virtiofsd /usr/libexec/virtiofsd
# For the tests of the network service.
need iproute2 ip
need gcc cc
# For libFuzzer.
need g++ c++
need libc6-dev /usr/include/stdlib.h
# Without root, mmdebstrap works in a user namespace.
[ "$(id -u)" = 0 ] || need uidmap newuidmap

if [ -n "$packages" ]; then
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "boot2podman: missing on this machine (Debian's names):$packages" >&2
        exit 1
    fi
    if [ "$(id -u)" = 0 ]; then
        as_root=
    elif command -v sudo >/dev/null 2>&1 && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
        as_root=sudo
    else
        echo "boot2podman: missing, and neither root nor sudo to install it:$packages" \
            "(as root: apt-get install$packages)" >&2
        exit 1
    fi
    echo "boot2podman: installing$packages" >&2
    log=$(mktemp)
    # Until QEMU 7.2 virtiofsd is a part of it, and no package of that name exists.
    known_packages() {
        apt-cache show virtiofsd >/dev/null 2>&1 ||
            packages=$(printf '%s' "$packages" | sed 's/ virtiofsd$//; s/ virtiofsd / /')
    }
    # A package list that is too old and a mirror that stumbles both deserve a second try.
    for try in 1 2; do
        if $as_root apt-get update >"$log" 2>&1 && known_packages &&
            $as_root env DEBIAN_FRONTEND=noninteractive \
                apt-get install -y --no-install-recommends $packages >>"$log" 2>&1; then
            break
        elif [ "$try" = 2 ]; then
            tail -n 15 "$log" >&2
            echo "boot2podman: apt-get could not install$packages (the whole log: $log)" >&2
            exit 1
        fi
    done
    rm -f "$log"
fi

if ! command -v cargo >/dev/null 2>&1; then
    echo "boot2podman: cargo is missing: install Rust 1.91 or newer from https://rustup.rs" \
        "(Debian 12's and 13's own are too old)" >&2
    exit 1
fi
