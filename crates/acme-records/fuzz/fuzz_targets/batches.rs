//! `batches` of `acme_records::fuzz` with any bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = acme_records::fuzz::batches(data);
});
