//! `response` of `acme_kafka::fuzz` with any bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = acme_kafka::fuzz::response(data);
});
