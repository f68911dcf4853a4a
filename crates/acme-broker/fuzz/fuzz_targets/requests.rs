//! `request` and `token` of `acme_broker::fuzz` with any bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = acme_broker::fuzz::request(data);
    let _ = acme_broker::fuzz::token(data);
});
