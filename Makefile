# Thin over cargo: every target is one command that works without make too.
# Variables given on the command line reach the programs through the environment.

INITRAMFS = cargo run --quiet --release --package initramfs --
FUZZ = cargo run --quiet --package fuzz --example run --

.PHONY: help image iso run test test-all bench fuzz clean host

help: ## this text
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 16
	@echo
	@echo '  image takes SUITE= MIRROR= KERNEL=cloud|generic (iso and run take these, too)'
	@echo '  iso takes   APPEND= SSH_KEY= for its menu'
	@echo '  run takes   MEM= CPUS= ACCEL= SSH_PORT= DATA= APPEND= SSH_KEY='

host:
	@sh initramfs/host.sh

image: host ## out/vmlinuz, out/initrd.img, out/manifest.json
	@$(INITRAMFS) image

iso: host ## out/boot2podman.iso: BIOS and UEFI, disc or stick; KERNEL=generic for bare metal
	@$(INITRAMFS) iso

run: host ## build, and boot in QEMU; console in this terminal, ssh and podman forwarded
	@$(INITRAMFS) run

test: iso ## everything CI runs
	@$(INITRAMFS) image generic
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo test --workspace
	$(FUZZ) 5 -seed=1

test-all: test ## the same, and a night of damaged disks and power cuts
	cargo test --package tests --test data -- --ignored

bench: host ## this system and its peers, booted side by side: out/bench.md, .svg, .json; CASE= RUNS=
	@cargo run --quiet --release --package bench --bin bench

SECONDS ?= 60
fuzz: host ## every fuzz target for SECONDS=60 each (fuzz/README.md)
	@$(FUZZ) $(SECONDS)

clean: ## remove what was built (data disks stay)
	@cargo run --quiet --release --package initramfs -- clean
	@cargo clean
