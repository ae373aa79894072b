// SPDX-License-Identifier: Apache-2.0
//! Error of a step that calls the kernel.
//!
//! The error names the step, the path and the errno, so that
//! callers decide by [`Error::errno`] and users read the whole error on one line:
//!
//! ```
//! use sys::error::{Doing, Error};
//!
//! let read = std::fs::read("/nonexistent").on("/nonexistent").doing("machine id");
//! let error: Error = read.unwrap_err();
//! assert_eq!(error.errno(), Some(nix::errno::Errno::ENOENT));
//! assert_eq!(
//!     error.to_string(),
//!     "machine id: /nonexistent: ENOENT: No such file or directory"
//! );
//! ```

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

/// The result of a step that may fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Failed step: its name, its path, and the reason. The size is one pointer, because every function
/// that can fail returns this type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Box<Parts>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Parts {
    step: Option<Cow<'static, str>>,
    path: Option<PathBuf>,
    cause: Cause,
}

/// Cause of a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Cause {
    /// The kernel refused a system call (errno(3)).
    Errno(Errno),
    /// The input does not fit the step; the text names the input that would be right.
    Invalid(Cow<'static, str>),
    /// A step within this one failed.
    Step(Error),
    /// Several steps failed that do not depend on each other.
    Several(Vec<Error>),
}

impl Error {
    /// Returns an error without an errno: `reason` names the fault and the input that would be
    /// right.
    #[must_use]
    pub fn invalid(reason: impl Into<Cow<'static, str>>) -> Error {
        Error::of(Cause::Invalid(reason.into()))
    }

    /// Returns the errors of steps that do not depend on each other as one, or `Ok` if there are
    /// none.
    ///
    /// # Errors
    /// The only error, or one that shows all of them and has the errno of the first.
    pub fn join(mut errors: Vec<Error>) -> Result<()> {
        match errors.pop() {
            None => Ok(()),
            Some(only) if errors.is_empty() => Err(only),
            Some(last) => {
                errors.push(last);
                Err(Error::of(Cause::Several(errors)))
            }
        }
    }

    /// The errno of the system call that failed, or `None` where no system call did.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        match &self.0.cause {
            Cause::Errno(errno) => Some(*errno),
            Cause::Invalid(_) => None,
            Cause::Step(inner) => inner.errno(),
            Cause::Several(errors) => errors.first().and_then(Error::errno),
        }
    }

    /// The innermost path that the error names.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        let inner = match &self.0.cause {
            Cause::Step(inner) => inner.path(),
            _ => None,
        };
        inner.or(self.0.path.as_deref())
    }

    fn of(cause: Cause) -> Error {
        Error(Box::new(Parts {
            step: None,
            path: None,
            cause,
        }))
    }

    /// Names the step. Not generic, and not inlined into the many callers of [`Doing::doing`].
    #[inline(never)]
    fn with_step(self, step: Cow<'static, str>) -> Error {
        let mut error = self.outer();
        error.0.step = Some(step);
        error
    }

    /// Names the path, as [`Error::with_step`] names the step.
    #[inline(never)]
    fn with_path(self, path: &Path) -> Error {
        let mut error = match self.0.path {
            Some(_) => Error::of(Cause::Step(self)),
            None => self.outer(),
        };
        error.0.path = Some(path.to_owned());
        error
    }

    /// An error around `self`, if its own step is already named.
    fn outer(self) -> Error {
        if self.0.step.is_none() {
            return self;
        }
        Error::of(Cause::Step(self))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(step) = &self.0.step {
            write!(f, "{step}: ")?;
        }
        if let Some(path) = &self.0.path {
            write!(f, "{}: ", path.display())?;
        }
        match &self.0.cause {
            Cause::Errno(errno) => errno.fmt(f),
            Cause::Invalid(reason) => f.write_str(reason),
            Cause::Step(inner) => inner.fmt(f),
            Cause::Several(errors) => {
                let texts: Vec<String> = errors.iter().map(Error::to_string).collect();
                f.write_str(&texts.join("; "))
            }
        }
    }
}

impl std::error::Error for Error {}

impl From<Errno> for Error {
    fn from(errno: Errno) -> Error {
        Error::of(Cause::Errno(errno))
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        match error.raw_os_error() {
            Some(errno) => Errno::from_raw(errno).into(),
            None => Error::invalid(error.to_string()),
        }
    }
}

/// Adds the name of the failed step to an error.
pub trait Doing<T> {
    /// Names the step, as a noun or a command: `mount erofs`, `host name box`.
    ///
    /// # Errors
    /// The error of `self`, with the step in front.
    fn doing(self, step: impl Into<Cow<'static, str>>) -> Result<T>;

    /// Names the path that the step was working on.
    ///
    /// # Errors
    /// The error of `self`, with the path in front.
    fn on(self, path: impl AsRef<Path>) -> Result<T>;
}

impl<T, E: Into<Error>> Doing<T> for std::result::Result<T, E> {
    fn doing(self, step: impl Into<Cow<'static, str>>) -> Result<T> {
        self.map_err(|error| error.into().with_step(step.into()))
    }

    fn on(self, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|error| error.into().with_path(path.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn refused() -> Result<(), Errno> {
        Err(Errno::EACCES)
    }

    #[test]
    fn each_part_is_shown_once_and_in_order() {
        let text = |r: Result<()>| r.unwrap_err().to_string();
        let why = "EACCES: Permission denied";
        assert_eq!(text(refused().doing("sync")), format!("sync: {why}"));
        assert_eq!(text(refused().on("/a")), format!("/a: {why}"));
        let both = refused().on("/a").doing("sync");
        assert_eq!(text(both), format!("sync: /a: {why}"));
        let nested = refused().on("/a").doing("sync").on("/b").doing("copy");
        assert_eq!(text(nested), format!("copy: /b: sync: /a: {why}"));
    }

    #[test]
    fn the_errno_and_the_innermost_path_survive_every_layer() {
        let error = refused().on("/a").doing("x").on("/b").doing("y");
        let error = error.unwrap_err();
        assert_eq!(error.errno(), Some(Errno::EACCES));
        assert_eq!(error.path(), Some(Path::new("/a")));
        let invalid = Error::invalid("not a number; 1 to 9 would be right");
        assert_eq!((invalid.errno(), invalid.path()), (None, None));
    }

    #[test]
    fn errors_of_independent_steps_are_shown_in_one_line() {
        assert_eq!(Error::join(Vec::new()), Ok(()));
        let first = refused().on("/a").unwrap_err();
        assert_eq!(Error::join(vec![first.clone()]), Err(first.clone()));
        let both = Error::join(vec![first, Error::invalid("no route")]).unwrap_err();
        assert_eq!(both.errno(), Some(Errno::EACCES));
        assert_eq!(both.to_string(), "/a: EACCES: Permission denied; no route");
    }

    #[test]
    fn an_io_error_keeps_its_errno() {
        let error: Error = io::Error::from_raw_os_error(libc::ENOSPC).into();
        assert_eq!(error.errno(), Some(Errno::ENOSPC));
        let error: Error = io::Error::from(io::ErrorKind::UnexpectedEof).into();
        assert_eq!(error.errno(), None);
    }
}
