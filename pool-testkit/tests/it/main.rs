//! Tests of the kit on itself.

mod conformance;
#[cfg(all(feature = "servers", target_os = "linux"))]
mod crash;
mod downstream;
#[cfg(feature = "proptest")]
mod lives;
#[cfg(all(feature = "servers", target_os = "linux"))]
mod mariadb;
#[cfg(all(feature = "servers", target_os = "linux"))]
mod pgbouncer;
#[cfg(all(feature = "servers", target_os = "linux"))]
mod postgres;
#[cfg(all(feature = "servers", target_os = "linux"))]
mod proxy;
mod scenarios;
mod test_pools;
#[cfg(all(feature = "servers", target_os = "linux"))]
mod tools;
mod wrong;
