#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| modelwright_fuzz::npz_file(data));
