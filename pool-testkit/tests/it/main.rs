//! The tools themselves: real servers and a proxy that does harm. Every test ends by a hard
//! deadline; none depends on how fast the machine is.

#[cfg(all(feature = "servers", target_os = "linux"))]
mod crash;
#[cfg(all(feature = "servers", target_os = "linux"))]
mod mariadb;
#[cfg(all(feature = "servers", target_os = "linux"))]
mod pgbouncer;
#[cfg(all(feature = "servers", target_os = "linux"))]
mod postgres;
#[cfg(all(feature = "servers", target_os = "linux"))]
mod proxy;
#[cfg(all(feature = "servers", target_os = "linux"))]
mod tools;
