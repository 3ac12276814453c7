//! Settings as users meet them.

mod auto;
mod cgroup;
mod linux;
mod machine;
