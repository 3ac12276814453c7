//! Where a pool's settings come from: environment, URL, files, presets and the machine, with the
//! source of each kept.
//!
//! ```
//! use pool_config::Loader;
//!
//! // DATABASE_URL, DB_MAX_CONNECTIONS, DB_POOL_IDLE_TIMEOUT, ..
//! let loaded = Loader::new().env().load()?;
//! println!("{loaded}"); // every setting, its value, and who said so
//! for warning in &loaded.warnings {
//!     eprintln!("{warning}");
//! }
//! let config: pool_core::PoolConfig = loaded.config; // valid
//! # drop(config);
//! # Ok::<(), pool_config::SettingsError>(())
//! ```
//!
//! Wrong settings are one error that has them all: each with its place, its value and what would be
//! right.
//!
//! # Words
//!
#![doc = include_str!("../WORDS.md")]
#![forbid(unsafe_code)]

pub mod auto;
mod backend;
mod database;
mod database_config;
mod error;
mod file;
mod layer;
mod loaded;
mod loader;
mod log_level;
mod machine;
mod merge;
mod preset;
mod setting;
pub mod sizing;
mod source;
mod ssl;
mod term;
mod url;
mod words;

pub use auto::{Advice, Advisor, AutoConfig, Reason};
pub use backend::Backend;
pub use database::{Database, Mode};
pub use database_config::DatabaseConfig;
pub use error::{SettingsError, SettingsFault};
pub use file::PoolSettings;
pub use loaded::Loaded;
pub use loader::Loader;
pub use log_level::LogLevel;
pub use machine::{Found, Machine};
pub use preset::Preset;
pub use setting::Setting;
pub use source::Source;
pub use ssl::SslMode;
pub use words::words;
