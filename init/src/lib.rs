//! PID 1 of boot2podman, as a library: the program is `main.rs`, the boot in its
//! order is [`boot`].

pub mod boot;
pub mod button;
pub mod cgroups;
pub mod company;
pub mod console;
pub mod crash;
pub mod data;
pub mod events;
pub mod files;
pub mod flags;
pub mod holdout;
pub mod identity;
pub mod image;
pub mod kept;
pub mod kmsg;
pub mod machine;
pub mod modprobe;
pub mod modules;
pub mod mountinfo;
pub mod mounts;
pub mod net;
pub mod options;
pub mod ready;
pub mod requests;
pub mod rescue;
pub mod root;
pub mod rows;
pub mod run;
pub mod selftests;
pub mod session;
pub mod settle;
pub mod shutdown;
pub mod signals;
pub mod sys;
pub mod sysctl;
pub mod table;
pub mod uevent;
pub mod unmount;
pub mod untraced;
#[cfg(all(target_env = "musl", panic = "abort"))]
mod unwind;
