//! [`Limits`]: how much of a batch goes into one statement, by the server's `max_allowed_packet`.

use pool_sql::{Chunker, Value};

use crate::server::MySqlServer;

/// Values in a chunk take at most so many bytes, whatever the server would take.
const BYTES: u64 = 1024 * 1024;
/// What a server takes that does not say.
const SMALLEST_DEFAULT: u64 = 1024 * 1024;
/// A value of fixed length with its type and its NULL bit, and its place in the statement's text:
/// `UNION ALL SELECT ?`, at most.
const OVERHEAD: u64 = 24;

#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) max_packet: u64,
}

impl Limits {
    pub(super) fn of_server(server: &MySqlServer) -> Self {
        Self { max_packet: server.max_allowed_packet.unwrap_or(SMALLEST_DEFAULT) }
    }

    /// Half of the packet is for what is as long as the number of values, a quarter for the rest, a
    /// quarter to spare.
    pub(super) fn of(self, chunker: Chunker, width: usize) -> Chunker {
        let row = OVERHEAD * (width as u64 + 1);
        let rows = usize::try_from(self.max_packet / 2 / row).unwrap_or(usize::MAX);
        let rows = chunker.rows_per_statement().min(rows);
        chunker.max_rows(rows).max_bytes(self.bytes())
    }

    fn bytes(self) -> usize {
        (self.max_packet / 4).min(BYTES) as usize
    }

    /// The ids in parts of at most `count`, each with the last one repeated up to a power of two
    /// within the bytes.
    pub(super) fn parts<'i, 'v>(self, ids: &'i [Value<'v>], count: usize) -> Vec<&'i [Value<'v>]> {
        let (mut parts, mut left) = (Vec::new(), vec![]);
        for ids in ids.chunks(count).rev() {
            left.push(ids);
        }
        while let Some(ids) = left.pop() {
            let padding = ids.len().next_power_of_two() - ids.len();
            let last = ids.last().map_or(0, |last| last.size());
            let bytes = ids.iter().map(|id| id.size()).sum::<usize>() + padding * last;
            if ids.len() > 1 && bytes + ids.len() * OVERHEAD as usize > self.bytes() {
                let (first, second) = ids.split_at(ids.len() / 2);
                left.extend([second, first]);
            } else {
                parts.push(ids);
            }
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pool_sql::Dialect;

    #[test]
    fn a_small_packet_makes_small_chunks() {
        let rows = |max_packet, width| {
            let chunker = Chunker::new(Dialect::MySql, width);
            Limits { max_packet }.of(chunker, width).rows_per_statement()
        };
        assert_eq!(rows(16 << 20, 3), 1_000);
        assert_eq!(rows(16 << 20, 1_000), 65);
        assert_eq!(rows(16 << 10, 3), 85);
        assert_eq!(rows(1 << 10, 1_000), 1);
    }

    #[test]
    fn ids_are_parted_by_their_number_and_by_their_bytes() {
        let limits = Limits { max_packet: 16 << 10 };
        let numbers: Vec<_> = (0..100).map(Value::I64).collect();
        let lengths = |ids: &[Value<'_>], count| {
            limits.parts(ids, count).iter().map(|ids| ids.len()).collect::<Vec<_>>()
        };
        assert_eq!(lengths(&numbers, 64), [64, 36]);
        assert!(lengths(&[], 64).is_empty());
        let long = "x".repeat(1_500);
        let texts = vec![Value::Text(&long); 5];
        assert_eq!(lengths(&texts, 64), [2, 1, 2]);
        let larger_than_any = "x".repeat(1 << 20);
        assert_eq!(lengths(&[Value::Text(&larger_than_any); 2], 64), [1, 1]);
    }
}
