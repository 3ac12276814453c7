//! The families as Prometheus reads them.
