//! The rows of the machine, once more, when the data disk has been read.

use log::{info, warn};

use super::Manager;
use crate::ServiceDef;
use crate::service_io::ServiceIo;

impl Manager {
    /// Makes `rows` the machine's own, as far as they have not begun: those that are
    /// there are revised, new ones added, and off.
    pub fn revise(&mut self, rows: Vec<ServiceDef>) {
        for row in rows {
            let name = row.name;
            match self.supervisor.find(name) {
                Some(id) if self.supervisor.definition(id) == Some(&row) => {}
                Some(_) if self.supervisor.revise(row) => {}
                Some(_) => info!("{name}: runs; what the data disk says of it holds later"),
                None => match self.supervisor.extend(row) {
                    Ok(_) => self.wires.push(ServiceIo::default()),
                    Err(why) => warn!("{name}: {why}"),
                },
            }
        }
    }
}
