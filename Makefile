# SPDX-License-Identifier: Apache-2.0
# Short names for cargo commands; each command also works without make. Variables on make's
# command line reach the programs through the environment.

INITRAMFS = cargo run --quiet --release --package initramfs --
FUZZ = cargo run --quiet --package fuzz --example run --

.PHONY: help image iso disk kernel size ext oci machine release install run test test-all bench reproducible deny fuzz clean host
.PHONY: test-images test-programs test-other-hosts test-machines test-rest

help: ## prints this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20
	@echo
	@echo '  Variables of make image, and of all targets that use it:'
	@echo '    SUITE= MIRROR= ARCH=x86_64|aarch64 KERNEL=cloud|generic|slim'
	@echo '  of make iso and make disk: APPEND= SSH_KEY= for the boot menu;'
	@echo '    with KERNEL=slim also PACK=zstd|xz (xz is smaller and boots slowly)'
	@echo '  of make iso: EXT= names extensions to put on it'
	@echo '  of make ext: NAME= PKGS= (docs/guide/extensions.md)'
	@echo '  of make run: MEM= CPUS= ACCEL= SSH_PORT= DATA= APPEND= SSH_KEY='

host:
	@sh initramfs/host.sh

image: host ## builds out/vmlinuz, out/initrd.img and out/manifest.json
	@$(INITRAMFS) image

iso: host ## builds out/boot2podman.iso for BIOS and UEFI, disc or stick; KERNEL=generic: bare metal
	@$(INITRAMFS) iso

disk: host ## builds out/boot2podman.qcow2 and .raw, with a data partition and upgrades in place
	@$(INITRAMFS) disk

kernel: host ## compiles the slim kernel in out/kernel/; KERNEL=slim selects it
	@$(INITRAMFS) kernel

ext: host ## builds the extension out/ext/NAME.erofs of the Debian packages PKGS=
	@$(INITRAMFS) ext

size: host ## prints the size of each part of the image, and draws out/size.svg
	@$(INITRAMFS) size

oci: host ## builds out/boot2podman-{kernel,disk,machine}.oci.tar for KubeVirt and podman machine
	@$(INITRAMFS) oci

machine: host ## builds out/podman-machine.tar: the program for hosts, manual pages, completions
	@$(INITRAMFS) machine

release: iso disk ## builds all downloads, and SHA256SUMS to sign (docs/design/trust.md)
	@$(INITRAMFS) ext --all
	@$(INITRAMFS) oci
	@$(INITRAMFS) machine

install: host ## installs podman-machine, its image, manual pages and completions; PREFIX= DESTDIR=
	@$(INITRAMFS) install

run: host ## builds the image and boots it in QEMU, with its console in this terminal
	@$(INITRAMFS) run

# Hosts on which podman-machine is not tested: it compiles (docs/guide/machine.md, "Other hosts").
OTHER_HOSTS = aarch64-apple-darwin x86_64-pc-windows-gnu

# The images are made while the tests compile. Tests of machines and the other tests run at the same time;
# the others run under nice(1), because machines have time limits.
test: host ## runs everything that CI runs
	cargo fmt --all --check
	@$(MAKE) --no-print-directory --jobs test-images test-programs
	@$(MAKE) --no-print-directory --jobs test-machines test-rest

test-images:
	@$(INITRAMFS) iso
	@$(INITRAMFS) disk
	@$(INITRAMFS) image generic
	@$(INITRAMFS) ext debug runc
	@$(INITRAMFS) machine

test-programs:
	cargo clippy --workspace --all-targets -- -D warnings
	@$(MAKE) --no-print-directory test-other-hosts
	@$(INITRAMFS) deny
	@$(INITRAMFS) nextest --no-run

test-other-hosts:
	@for host in $(OTHER_HOSTS); do \
	    if rustup --quiet target add $$host; then \
	        cargo check --quiet --package podman-machine --target $$host || exit 1; \
	    else \
	        echo "podman-machine is not compiled for $$host: rustup cannot install its library"; \
	    fi; \
	done

test-machines:
	@$(INITRAMFS) nextest

test-rest:
	nice cargo test --quiet --workspace --doc

# Tests that run on aarch64 as well: ARCH= selects the architecture of their machines.
AARCH64_TESTS = package(tests) & (binary(boot) | binary(disk) | binary(generic) | binary(iso) | test(five_boots))

test-all: test ## runs the tests of every kernel and the long ones as well
	@$(INITRAMFS) oci
	@$(INITRAMFS) ext buildah skopeo compose tools git compile rust go criu nfs cifs qemu-user desktop
	@KERNEL=generic $(INITRAMFS) ext criu nfs cifs
	@$(INITRAMFS) kernel
	@$(INITRAMFS) image slim
	@ARCH=aarch64 sh initramfs/host.sh
	@ARCH=aarch64 $(INITRAMFS) iso
	@ARCH=aarch64 $(INITRAMFS) disk
	@ARCH=aarch64 $(INITRAMFS) oci
	@ARCH=aarch64 $(INITRAMFS) image generic
	@ARCH=aarch64 $(INITRAMFS) kernel
	@ARCH=aarch64 $(INITRAMFS) image slim
	@ARCH=aarch64 $(INITRAMFS) ext nfs cifs qemu-user
	cargo install --quiet --locked --version 0.3.0 vhost-device-vsock --root out/tools
	$(FUZZ) 0 -runs=10000 -seed=1 -reload=0
	@$(INITRAMFS) nextest --package tests --package podman-machine --package varlink@0.1.0 --run-ignored only
	@ARCH=aarch64 $(INITRAMFS) nextest --package tests --filterset '$(AARCH64_TESTS)'
	@ARCH=aarch64 $(INITRAMFS) nextest --package tests --run-ignored only \
	    --filterset 'test(the_slim_kernel_works_on_a_pc)'
	@$(INITRAMFS) deny advisories
	@$(INITRAMFS) reproducible

reproducible: host ## builds this commit here and on another Debian release, and compares
	@$(INITRAMFS) reproducible

deny: ## checks licences, sources and known vulnerabilities of the crates with cargo-deny
	@$(INITRAMFS) deny advisories

bench: host ## measures this system and others: out/bench.md, .svg and .json; CASE= RUNS=
	@cargo run --quiet --release --package bench --bin bench

SECONDS ?= 60
fuzz: host ## runs every fuzz target for SECONDS=60 each (fuzz/README.md)
	@$(FUZZ) $(SECONDS)

clean: ## removes target/, and out/ except files whose names begin with data
	@$(INITRAMFS) clean
	@cargo clean
