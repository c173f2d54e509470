//! How much memory this process holds, in megabytes, where the system tells (Linux).

use std::fs;

/// What is resident now; from here on [`peak`] counts anew.
pub fn now_and_reset_peak() -> Option<f64> {
    fs::write("/proc/self/clear_refs", "5").ok()?;
    status("VmRSS:")
}

/// The most that was resident since.
pub fn peak() -> Option<f64> {
    status("VmHWM:")
}

fn status(field: &str) -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes = status.lines().find_map(|line| line.strip_prefix(field))?.split_whitespace().next()?;
    Some(kilobytes.parse::<f64>().ok()? * 1024e-6)
}
