//! Long work tells how far it is, and can be stopped.

use std::ops::ControlFlow;

use crate::{Error, Result};

/// Told how many evaluations are done, and of how many; `ControlFlow::Break(())` stops the work, which then is an
/// [`Error::Cancelled`].
///
/// ```
/// use std::ops::ControlFlow;
/// use regard_explain::Progress;
///
/// let mut tell = |done: usize, total: usize| {
///     eprint!("\r{done}/{total}");
///     ControlFlow::Continue(())
/// };
/// let progress: Progress = &mut tell;
/// assert!(progress(1, 2).is_continue());
/// ```
pub type Progress<'a> = &'a mut (dyn FnMut(usize, usize) -> ControlFlow<()> + 'a);

/// A [`Progress`] that tells nobody and never stops.
pub fn silent(_done: usize, _total: usize) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Tells, and makes an error of the wish to stop.
pub(crate) fn tell(progress: Progress, work: &'static str, done: usize, total: usize) -> Result<()> {
    match progress(done, total) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Cancelled { work, done, total }),
    }
}
