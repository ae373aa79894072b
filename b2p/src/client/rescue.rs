// SPDX-License-Identifier: Apache-2.0
//! `b2p rescue`: a root shell on each console; the services continue.

use control::Request;

use crate::common::audit;
use crate::common::control_client::{self, ControlClient};
use crate::common::terminal::print_error;

/// Runs `b2p rescue` and returns the exit status.
pub fn main(control: &ControlClient) -> i32 {
    match control.ask(&Request::Rescue) {
        Ok(_) => {
            audit::record("rescue");
            0
        }
        Err(error) => {
            let error = control_client::explain(&error, "b2p rescue");
            print_error(&format!("b2p: {error}"));
            1
        }
    }
}
