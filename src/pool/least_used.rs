//! A map of limited size that drops the entry that has not been used for the longest time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::Hash;

/// A use only notes its number. The order of the uses is sorted when an entry is dropped, and then only for the entries that
/// come up: a drop costs the logarithm of the size, not the size.
#[derive(Debug)]
pub(super) struct LeastUsed<K, V> {
    capacity: usize,
    entries: HashMap<K, Entry<V>>,
    /// For each entry the number of one of its uses, not always the last. Also keys of entries that have been removed.
    by_use: BinaryHeap<Reverse<(u64, K)>>,
    uses: u64,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    used: u64,
}

impl<K: Copy + Eq + Hash + Ord, V> LeastUsed<K, V> {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, entries: HashMap::new(), by_use: BinaryHeap::new(), uses: 0 }
    }

    pub(super) fn get(&mut self, key: K) -> Option<&V> {
        self.uses += 1;
        let entry = self.entries.get_mut(&key)?;
        entry.used = self.uses;
        Some(&entry.value)
    }

    /// Takes the place of an entry with the same key. Returns the entry that had to make room.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.uses += 1;
        let used = self.uses;
        if let Some(entry) = self.entries.get_mut(&key) {
            *entry = Entry { value, used };
            return None;
        }
        let dropped = if self.entries.len() >= self.capacity { self.drop_least_used() } else { None };
        self.entries.insert(key, Entry { value, used });
        self.by_use.push(Reverse((used, key)));
        dropped
    }

    fn drop_least_used(&mut self) -> Option<V> {
        while let Some(Reverse((noted, key))) = self.by_use.pop() {
            match self.entries.get(&key).map(|entry| entry.used) {
                Some(used) if used == noted => return self.entries.remove(&key).map(|entry| entry.value),
                Some(used) => self.by_use.push(Reverse((used, key))),
                None => {}
            }
        }
        None
    }

    pub(super) fn remove(&mut self, key: K) {
        if self.entries.remove(&key).is_some() {
            self.forget_removed();
        }
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        self.entries.retain(|key, _| keep(key));
        self.forget_removed();
    }

    /// Keys that are removed and come again must not pile up.
    fn forget_removed(&mut self) {
        if self.by_use.len() > 2 * self.entries.len() {
            self.by_use = self.entries.iter().map(|(key, entry)| Reverse((entry.used, *key))).collect();
        }
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.by_use.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the map does, by a scan of all entries.
    #[derive(Default)]
    struct Plain {
        entries: Vec<(u32, u64)>,
        uses: u64,
    }

    impl Plain {
        fn touch(&mut self, key: u32) -> bool {
            self.uses += 1;
            let used = self.uses;
            self.entries.iter_mut().find(|(known, _)| *known == key).map(|(_, at)| *at = used).is_some()
        }

        fn insert(&mut self, key: u32, capacity: usize) -> Option<u32> {
            if self.touch(key) {
                return None;
            }
            let oldest = self.entries.iter().min_by_key(|(_, used)| *used).copied();
            let dropped = oldest.filter(|_| self.entries.len() >= capacity);
            self.entries.retain(|entry| Some(*entry) != dropped);
            self.entries.push((key, self.uses));
            dropped.map(|(key, _)| key)
        }
    }

    #[test]
    fn entries_are_dropped_in_the_order_of_their_last_uses_whatever_happens_in_between() {
        let mut map = LeastUsed::new(8);
        let mut plain = Plain::default();
        let mut random = 7_u32;
        for _ in 0..100_000 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let key = (random >> 20) % 13;
            match random >> 28 {
                0..8 => assert_eq!(map.get(key).copied(), plain.touch(key).then_some(key)),
                8..14 => assert_eq!(map.insert(key, key), plain.insert(key, 8)),
                14 => {
                    map.remove(key);
                    plain.entries.retain(|(known, _)| *known != key);
                }
                _ => {
                    map.retain(|known| known % 3 != key % 3);
                    plain.entries.retain(|(known, _)| known % 3 != key % 3);
                }
            }
            assert!(map.by_use.len() <= 2 * 8 + 1, "{} notes of {} entries", map.by_use.len(), map.entries.len());
        }
    }
}
