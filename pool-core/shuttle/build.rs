//! Tells pool-core's sources to take their locks from shuttle.

fn main() {
    println!("cargo::rustc-cfg=pool_shuttle");
    println!("cargo::rerun-if-changed=build.rs");
}
