//! Any environment, as lines of `NAME=value`, is valid settings or a whole error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pool_config::Loader;

fuzz_target!(|lines: &str| {
    let variables = lines.lines().filter_map(|line| line.split_once('='));
    match Loader::new().env_from(variables).load() {
        Ok(loaded) => {
            loaded.config.validate().unwrap();
            let again = Loader::new().env_from(loaded.to_env()).load().unwrap();
            assert_eq!(again.config, loaded.config);
        }
        Err(error) => assert!(!error.faults().is_empty()),
    }
});
