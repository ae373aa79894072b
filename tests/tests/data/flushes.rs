//! The power goes, and the disk forgets what was not flushed.
