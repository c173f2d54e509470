use std::io;

/// What can go wrong before the page is open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The port cannot be had.
    #[error("cannot listen on port {port}{}", if *.in_use { ": another program does; choose another port, or 0 for any that is free" } else { "" })]
    Port {
        /// The port that was asked for.
        port: u16,
        /// Whether another program listens there.
        in_use: bool,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The operating system has no random numbers, or no threads.
    #[error("cannot start: {reason}")]
    Start {
        /// What is missing.
        reason: String,
    },
    /// No browser opened; the page can be opened by hand.
    #[error("no browser could be opened: {reason}; open {url} yourself")]
    Browser {
        /// Why not.
        reason: String,
        /// The page.
        url: String,
    },
}

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
