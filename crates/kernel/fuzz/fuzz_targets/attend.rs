//! libFuzzer's door to the checks.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| regard_kernel_fuzz::check(bytes));
