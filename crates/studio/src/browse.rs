//! Opening a browser, on machines that may have none.

use std::env;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::{Error, Result};

/// Asks the desktop to open a page. It waits for a moment at most: what still runs then is the browser.
///
/// # Errors
/// [`Error::Browser`] with the address when there is no desktop, or it has no browser.
pub fn browse(url: &str) -> Result<()> {
    let failed = |reason: String| Error::Browser { reason, url: url.to_owned() };
    let seen = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    let (program, arguments): (&str, &[&str]) = match env::consts::OS {
        "macos" => ("open", &[]),
        "windows" => ("rundll32", &["url.dll,FileProtocolHandler"]),
        // Without a display, xdg-open falls back to browsers for the terminal, which would wait for keys.
        _ if !seen("DISPLAY") && !seen("WAYLAND_DISPLAY") => return Err(failed("there is no display".into())),
        _ => ("xdg-open", &[]),
    };
    let mut command = Command::new(program);
    command.args(arguments).arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| failed(format!("{program}: {error}")))?;
    for _ in 0..20 {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(failed(format!("{program} ended with {status}"))),
            Ok(None) => thread::sleep(Duration::from_millis(100)),
            Err(error) => return Err(failed(format!("{program}: {error}"))),
        }
    }
    // Somebody has to notice when it ends.
    thread::spawn(move || child.wait());
    Ok(())
}
