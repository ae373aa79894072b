// SPDX-License-Identifier: Apache-2.0
//! Parts of PID 1 that reactions to events work with.

use services::Manager;

use crate::event_sources::EventSources;
use crate::state::SystemState;

/// State, services and event sources of the machine.
pub struct Context<'a> {
    /// State of the machine.
    pub state: &'a mut SystemState,
    /// Services.
    pub manager: &'a mut Manager,
    /// Sources of events.
    pub sources: &'a mut EventSources,
}
