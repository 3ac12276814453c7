//! Of any URL the pool's parameters are taken out once and for all, or there is an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pool_config::Loader;

fuzz_target!(|url: &str| {
    let Ok(loaded) = Loader::new().url(url).load() else { return };
    let Some(database) = loaded.database else { return };
    let rest = database.url.expose();
    let again = Loader::new().url(rest).load().expect("what is left is no worse");
    assert_eq!(again.database.expect("it is still one").url.expose(), rest);
    assert_eq!(again.config, pool_core::PoolConfig::default());
});
