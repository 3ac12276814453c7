//! Random lives of a pool.
