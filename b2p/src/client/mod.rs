//! TODO-DOC

pub mod boot;
pub mod commands;
pub mod flags;
pub mod gantt;
pub mod json;
pub mod key;
pub mod log;
pub mod power;
pub mod service;
pub mod service_files;
pub mod status;
pub mod systemctl;
pub mod usage;
pub mod version;
