//! The power goes, at any moment.
