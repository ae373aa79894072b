//! Rows of the machine itself that are known only while it comes up: what the data disk
//! says of them.

use super::Supervisor;
use crate::service::ServiceDef;
use crate::service_record::ServiceRecord;
use crate::state::{ServiceId, State};

impl Supervisor {
    /// Puts a row in the place of one of the machine's that has no process: what it
    /// is to be is known only now. The state stays, what it needs too.
    pub fn revise(&mut self, row: ServiceDef) -> bool {
        let here = |s: &&mut ServiceRecord| s.def.name == row.name && s.def.needs == row.needs;
        let mut slots = self.slots.iter_mut().take(self.builtin);
        let Some(slot) = slots.find(here) else {
            return false;
        };
        let fits = slot.state == State::Waiting || slot.state.at_rest();
        if fits {
            slot.def = row;
        }
        fits
    }

    /// Takes one more row of the machine itself: what the machine is to have is known
    /// only now. It is off.
    ///
    /// # Errors
    /// There is one of this name, or there are too many.
    pub fn extend(&mut self, row: ServiceDef) -> Result<ServiceId, &'static str> {
        // Rows of the owner come behind those of the machine.
        if self.slots.len() != self.builtin {
            return Err("services of the owner are there already");
        }
        let id = self.add(row)?;
        self.builtin = self.slots.len();
        Ok(id)
    }
}
