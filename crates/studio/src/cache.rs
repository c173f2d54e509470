//! What was computed and may be wanted again: the least recently used go when there are too many bytes.

use std::collections::HashMap;
use std::hash::Hash;

/// Values by key, as many as fit into a number of bytes.
pub(crate) struct Cache<K, V> {
    most: usize,
    held: usize,
    clock: u64,
    entries: HashMap<K, Entry<V>>,
}

struct Entry<V> {
    value: V,
    bytes: usize,
    used: u64,
}

impl<K: Clone + Eq + Hash, V: Clone> Cache<K, V> {
    /// At most so many bytes.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, held: 0, clock: 0, entries: HashMap::new() }
    }

    /// A value, which becomes the most recently used.
    pub(crate) fn get(&mut self, key: &K) -> Option<V> {
        self.clock += 1;
        let entry = self.entries.get_mut(key)?;
        entry.used = self.clock;
        Some(entry.value.clone())
    }

    /// Keeps a value of so many bytes, and gives back those that had to go; the new one stays, however large.
    pub(crate) fn put(&mut self, key: K, value: V, bytes: usize) -> Vec<V> {
        self.clock += 1;
        self.held += bytes;
        let entry = Entry { value, bytes, used: self.clock };
        let mut gone: Vec<V> = self.entries.insert(key, entry).into_iter().map(|old| self.forget(old)).collect();
        while self.held > self.most && self.entries.len() > 1 {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone());
            let Some(entry) = oldest.and_then(|key| self.entries.remove(&key)) else { break };
            gone.push(self.forget(entry));
        }
        gone
    }

    /// Lets go of those that are `unwanted`.
    pub(crate) fn drop_all(&mut self, unwanted: impl Fn(&K) -> bool) -> Vec<V> {
        let keys: Vec<K> = self.entries.keys().filter(|key| unwanted(key)).cloned().collect();
        let entries: Vec<_> = keys.iter().filter_map(|key| self.entries.remove(key)).collect();
        entries.into_iter().map(|entry| self.forget(entry)).collect()
    }

    fn forget(&mut self, entry: Entry<V>) -> V {
        self.held -= entry.bytes;
        entry.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut cache = Cache::new(30);
        assert!(
            cache.put("a", 1, 10).is_empty() && cache.put("b", 2, 10).is_empty() && cache.put("c", 3, 10).is_empty()
        );
        assert_eq!(cache.get(&"a"), Some(1));
        assert_eq!(cache.put("d", 4, 15), [2, 3]);
        assert_eq!((cache.get(&"a"), cache.get(&"b"), cache.held), (Some(1), None, 25));
        assert_eq!(cache.put("a", 5, 5), [1]);
        assert_eq!(cache.held, 20);
        let mut gone = cache.put("e", 6, 1000);
        gone.sort();
        assert_eq!((gone, cache.get(&"e")), (vec![4, 5], Some(6)));
        assert_eq!((cache.drop_all(|key| *key == "e"), cache.held), (vec![6], 0));
    }
}
