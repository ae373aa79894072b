// SPDX-License-Identifier: Apache-2.0
//! Keeper: the one process that a running machine has beside QEMU.
