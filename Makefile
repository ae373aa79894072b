# Thin over cargo: every target is one command that works without make too.
# Variables given on the command line reach the programs through the environment.

INITRAMFS = cargo run --quiet --release --package initramfs --
FUZZ = cargo run --quiet --package fuzz --example run --

.PHONY: help image iso disk kernel size ext oci release run test test-all bench reproducible deny fuzz clean host

help: ## this text
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20
	@echo
	@echo '  image takes SUITE= MIRROR= KERNEL=cloud|generic|slim (iso and run take these, too)'
	@echo '  iso, disk   take APPEND= SSH_KEY= for their menu; iso EXT= for extensions that it is to have'
	@echo '              with KERNEL=slim PACK=zstd|xz: the second is smaller, and slow to boot'
	@echo '  ext takes   NAME= PKGS= (docs/guide/extensions.md)'
	@echo '  run takes   MEM= CPUS= ACCEL= SSH_PORT= DATA= APPEND= SSH_KEY='

host:
	@sh initramfs/host.sh

image: host ## out/vmlinuz, out/initrd.img, out/manifest.json
	@$(INITRAMFS) image

iso: host ## out/boot2podman.iso: BIOS and UEFI, disc or stick; KERNEL=generic for bare metal
	@$(INITRAMFS) iso

disk: host ## out/boot2podman.qcow2 and .raw: boots on BIOS and UEFI, keeps data, is upgraded in place
	@$(INITRAMFS) disk

kernel: host ## out/kernel/: the slim kernel, compiled; KERNEL=slim selects it
	@$(INITRAMFS) kernel

ext: host ## out/ext/NAME.erofs: more programs, from the Debian packages PKGS=
	@$(INITRAMFS) ext

size: host ## where each byte of the image goes: a table, and out/size.svg
	@$(INITRAMFS) size

oci: host ## out/boot2podman-{kernel,disk}.oci.tar: for KubeVirt (docs/guide/kubevirt.md)
	@$(INITRAMFS) oci

release: iso disk ## everything that people download, and SHA256SUMS to sign (docs/design/trust.md)
	@$(INITRAMFS) oci

run: host ## build, and boot in QEMU; console in this terminal, ssh and podman forwarded
	@$(INITRAMFS) run

test: iso disk ## everything CI runs
	@$(INITRAMFS) image generic
	@$(INITRAMFS) ext debug
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	@$(INITRAMFS) deny
	@$(INITRAMFS) nextest
	cargo test --quiet --workspace --doc
	$(FUZZ) 5 -seed=1

test-all: test ## the same, and what takes a night or another kernel
	@$(INITRAMFS) ext buildah skopeo
	@$(INITRAMFS) kernel
	@$(INITRAMFS) image slim
	cargo install --quiet --locked --version 0.3.0 vhost-device-vsock --root out/tools
	@$(INITRAMFS) nextest --package tests --run-ignored only
	@$(INITRAMFS) deny advisories
	@$(INITRAMFS) reproducible

reproducible: host ## builds this commit twice, in different places, and compares bit for bit
	@$(INITRAMFS) reproducible

deny: ## cargo-deny: licences, sources and known faults of other people's crates
	@$(INITRAMFS) deny advisories

bench: host ## this system and its peers, booted side by side: out/bench.md, .svg, .json; CASE= RUNS=
	@cargo run --quiet --release --package bench --bin bench

SECONDS ?= 60
fuzz: host ## every fuzz target for SECONDS=60 each (fuzz/README.md)
	@$(FUZZ) $(SECONDS)

clean: ## remove what was built (data disks stay)
	@cargo run --quiet --release --package initramfs -- clean
	@cargo clean
