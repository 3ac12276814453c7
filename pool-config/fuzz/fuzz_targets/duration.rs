//! Any text is a duration that is printed and read as the same, or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pool_core::duration::{parse, print};

fuzz_target!(|text: &str| {
    if let Ok(duration) = parse(text) {
        assert_eq!(parse(&print(duration)), Ok(duration));
    }
});
