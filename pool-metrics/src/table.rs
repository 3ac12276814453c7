//! A bounded table of what is kept for each operation, found without a lock.
//!
//! Names are literals of the application, so most look-ups end at the first comparison of addresses;
//! the same name from two places may have two entries, which who reads puts together. When the table
//! is full the rest shares one entry, so that an application that makes names up as it goes cannot
//! fill memory, or a metrics server with series.

use std::sync::OnceLock;

/// Entries; a power of two. A few more operations than anybody looks at.
const SLOTS: usize = 256;
/// How far a look-up goes before it takes the entry of the rest.
const PROBES: usize = 16;

/// The name of the entry that the rest shares.
pub(crate) const REST: &str = "(other)";

pub(crate) struct Table<T> {
    slots: Box<[OnceLock<Box<Entry<T>>>]>,
    rest: Box<[OnceLock<Box<Entry<T>>>]>,
}

/// What is kept, and for whom: the pool or database, and the operation.
pub(crate) struct Entry<T> {
    pub(crate) of: String,
    pub(crate) operation: Option<&'static str>,
    pub(crate) kept: T,
}

impl<T> Entry<T> {
    #[inline]
    fn is_for(&self, of: &str, operation: Option<&'static str>) -> bool {
        let same = match (self.operation, operation) {
            (Some(own), Some(other)) => std::ptr::eq(own, other),
            (own, other) => own.is_none() && other.is_none(),
        };
        same && self.of == of
    }
}

impl<T: Default> Table<T> {
    pub(crate) fn new() -> Self {
        let slots = |n| (0..n).map(|_| OnceLock::new()).collect();
        Self { slots: slots(SLOTS), rest: slots(PROBES) }
    }

    /// The entry for this operation; made, if it is the first time.
    #[inline]
    pub(crate) fn of(&self, of: &str, operation: Option<&'static str>) -> &T {
        let address = operation.map_or(0, |name| name.as_ptr() as usize);
        // Literals lie close together: the product spreads them over the high bits.
        let start = (address ^ of.len()).wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as usize) >> 40;
        for probe in 0..PROBES {
            let slot = &self.slots[(start + probe) % SLOTS];
            let entry = slot.get_or_init(|| Box::new(Entry::new(of, operation)));
            if entry.is_for(of, operation) {
                return &entry.kept;
            }
        }
        self.rest(of)
    }

    #[cold]
    fn rest(&self, of: &str) -> &T {
        for slot in &self.rest {
            let entry = slot.get_or_init(|| Box::new(Entry::new(of, Some(REST))));
            if entry.of == of {
                return &entry.kept;
            }
        }
        &self.rest[0].get().expect("the loop above has filled it").kept
    }

    /// All there are. Of the same name there may be several.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry<T>> {
        self.slots.iter().chain(&self.rest).filter_map(OnceLock::get).map(|entry| &**entry)
    }
}

impl<T: Default> Entry<T> {
    fn new(of: &str, operation: Option<&'static str>) -> Self {
        Self { of: of.to_owned(), operation, kept: T::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn leaked(name: String) -> Option<&'static str> {
        Some(Box::leak(name.into_boxed_str()))
    }

    #[test]
    fn each_operation_of_each_pool_has_its_own() {
        let table = Table::<AtomicU32>::new();
        for of in ["plots", "users"] {
            for operation in [None, Some("list"), Some("find"), Some("list")] {
                table.of(of, operation).fetch_add(1, Ordering::Relaxed);
            }
        }
        let of = |of, operation| table.of(of, operation).load(Ordering::Relaxed);
        assert_eq!(of("plots", Some("list")), 2);
        assert_eq!((of("users", None), of("users", Some("find"))), (1, 1));
        assert_eq!(table.iter().count(), 6);
    }

    #[test]
    fn names_made_up_as_one_goes_share_an_entry_and_none_is_lost() {
        let table = Table::<AtomicU32>::new();
        for i in 0..5_000 {
            table.of("plots", leaked(format!("list_{i}"))).fetch_add(1, Ordering::Relaxed);
        }
        assert!(table.iter().count() <= SLOTS + 1);
        let all: u32 = table.iter().map(|entry| entry.kept.load(Ordering::Relaxed)).sum();
        assert_eq!(all, 5_000);
        assert!(table.iter().any(|entry| entry.operation == Some(REST)));
    }

    #[test]
    fn threads_that_meet_at_a_new_name_agree() {
        let table = Table::<AtomicU32>::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for operation in ["a", "b", "c"].into_iter().cycle().take(3_000) {
                        table.of("plots", Some(operation)).fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(
            table.iter().map(|e| e.kept.load(Ordering::Relaxed)).collect::<Vec<_>>(),
            [4_000; 3]
        );
    }
}
