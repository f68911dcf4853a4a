//! `recovery` of `acme_log::fuzz` with any bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = acme_log::fuzz::recovery(data);
});
