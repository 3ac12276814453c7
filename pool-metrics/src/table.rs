//! A bounded table of what is kept for each operation, found without a lock.
//!
//! Names are literals of the application, so most look-ups end at the first comparison of addresses;
//! the same name at two addresses has two entries, which who reads puts together. When the table is
//! full the rest shares an entry, for each of a few pools and one for all others, so that an application that makes names up as it goes cannot
//! fill memory, or a metrics server with series.

use std::sync::OnceLock;

/// Places for entries, a power of two: more than an application has operations, so that most are free
/// and look-ups short.
const SLOTS: usize = 1024;
/// How far a look-up goes before it takes the entry of the rest.
const PROBES: usize = 16;

/// An odd number whose bits look random: 2^64 by the golden ratio.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
/// The name of the entry that the rest shares.
pub(crate) const REST: &str = "(other)";

pub(crate) struct Table<T> {
    slots: Box<[OnceLock<Box<Entry<T>>>]>,
    rest: Box<[OnceLock<Box<Entry<T>>>]>,
    rest_of_all: Entry<T>,
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
        Self { slots: slots(SLOTS), rest: slots(PROBES), rest_of_all: Entry::new(REST, Some(REST)) }
    }

    /// The entry for this operation; made, if it is the first time.
    #[inline]
    pub(crate) fn of(&self, of: &str, operation: Option<&'static str>) -> &Entry<T> {
        let address = |text: &str| text.as_ptr() as u64;
        // They lie close together: the products spread them over the high bits.
        let mix = address(of).wrapping_mul(SPREAD).rotate_left(32);
        let hash = (mix ^ operation.map_or(0, address)).wrapping_mul(SPREAD);
        let start = (hash >> 48) as usize;
        for probe in 0..PROBES {
            let slot = &self.slots[(start + probe) % SLOTS];
            let entry = slot.get_or_init(|| Box::new(Entry::new(of, operation)));
            if entry.is_for(of, operation) {
                return entry;
            }
        }
        self.rest(of)
    }

    #[cold]
    fn rest(&self, of: &str) -> &Entry<T> {
        for slot in &self.rest {
            let entry = slot.get_or_init(|| Box::new(Entry::new(of, Some(REST))));
            if entry.of == of {
                return entry;
            }
        }
        &self.rest_of_all
    }

    /// All there are. Of the same name there may be several.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry<T>> {
        let made = self.slots.iter().chain(&self.rest).filter_map(OnceLock::get);
        made.map(|entry| &**entry).chain([&self.rest_of_all])
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

    fn count(table: &Table<AtomicU32>, of: &str, operation: Option<&'static str>) -> u32 {
        table.of(of, operation).kept.fetch_add(1, Ordering::Relaxed)
    }

    fn leaked(name: String) -> &'static str {
        Box::leak(name.into_boxed_str())
    }

    #[test]
    fn each_operation_of_each_pool_has_its_own() {
        let table = Table::<AtomicU32>::new();
        for of in ["plots", "users"] {
            for operation in [None, Some("list"), Some("find"), Some("list")] {
                count(&table, of, operation);
            }
        }
        assert_eq!(count(&table, "plots", Some("list")), 2);
        assert_eq!((count(&table, "users", None), count(&table, "users", Some("find"))), (1, 1));
        assert_eq!(table.iter().filter(|entry| entry.kept.load(Ordering::Relaxed) > 0).count(), 6);
    }

    #[test]
    fn pools_with_names_of_one_length_are_told_apart() {
        let table = Table::<AtomicU32>::new();
        for i in 0..60 {
            let pool = leaked(format!("tenant-{i:02}"));
            for operation in [None, Some("list"), Some("find")] {
                assert_eq!(count(&table, pool, operation), 0, "{pool}");
                let entry = table.of(pool, operation);
                assert_eq!((entry.of.as_str(), entry.operation), (pool, operation));
            }
        }
    }

    #[test]
    fn names_made_up_as_one_goes_share_an_entry_and_none_is_lost() {
        let table = Table::<AtomicU32>::new();
        for i in 0..20_000 {
            count(&table, leaked(format!("pool-{}", i % 40)), Some(leaked(format!("list_{i}"))));
        }
        assert!(table.iter().count() <= SLOTS + PROBES + 1);
        let all: u32 = table.iter().map(|entry| entry.kept.load(Ordering::Relaxed)).sum();
        assert_eq!(all, 20_000);
        for entry in table.iter().filter(|entry| entry.operation == Some(REST)) {
            assert!(entry.of == REST || entry.of.starts_with("pool-"), "{}", entry.of);
        }
    }

    #[test]
    fn threads_that_meet_at_a_new_name_agree() {
        let table = Table::<AtomicU32>::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for operation in ["a", "b", "c"].into_iter().cycle().take(3_000) {
                        count(&table, "plots", Some(operation));
                    }
                });
            }
        });
        let counts: Vec<_> = table.iter().map(|e| e.kept.load(Ordering::Relaxed)).collect();
        assert_eq!(counts.iter().filter(|n| **n == 4_000).count(), 3, "{counts:?}");
    }
}
