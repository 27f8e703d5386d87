//! Sets of port numbers, as ranges.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A set of ports kept as inclusive ranges: ascending, apart from each other, never empty ranges.
///
/// Union coalesces and subtraction splits (mesos: `src/common/values.cpp`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PortSet(Vec<(u16, u16)>);

impl PortSet {
    /// The set of the ports from `first` to `last`, both included; empty if `first > last`.
    pub fn range(first: u16, last: u16) -> Self {
        let mut set = Self::default();
        if first <= last {
            set.0.push((first, last));
        }
        set
    }

    /// Whether no port is in the set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many ports are in the set.
    pub fn len(&self) -> usize {
        self.0
            .iter()
            .map(|(first, last)| usize::from(last - first) + 1)
            .sum()
    }

    /// Whether `port` is in the set.
    pub fn contains(&self, port: u16) -> bool {
        let index = self.0.partition_point(|(_, last)| *last < port);
        self.0.get(index).is_some_and(|(first, _)| *first <= port)
    }

    /// Adds `port`; says whether it was new.
    pub fn insert(&mut self, port: u16) -> bool {
        if self.contains(port) {
            return false;
        }
        let index = self.0.partition_point(|(_, last)| *last < port);
        self.0.insert(index, (port, port));
        if index + 1 < self.0.len() && self.0[index + 1].0 == port.saturating_add(1) {
            self.0[index].1 = self.0[index + 1].1;
            self.0.remove(index + 1);
        }
        if index > 0 && self.0[index - 1].1.saturating_add(1) == port {
            self.0[index - 1].1 = self.0[index].1;
            self.0.remove(index);
        }
        true
    }

    /// Takes `port` out; says whether it was there.
    pub fn remove(&mut self, port: u16) -> bool {
        if !self.contains(port) {
            return false;
        }
        let index = self.0.partition_point(|(_, last)| *last < port);
        let (first, last) = self.0.remove(index);
        if port < last {
            self.0.insert(index, (port + 1, last));
        }
        if first < port {
            self.0.insert(index, (first, port - 1));
        }
        true
    }

    /// The ports that are in this set, in `other`, or in both.
    pub fn union(&self, other: &Self) -> Self {
        [self, other].into_iter().collect()
    }

    /// The ports of this set that are not in `other`.
    pub fn difference(&self, other: &Self) -> Self {
        let mut left = Vec::new();
        for &(first, last) in &self.0 {
            let start = other.0.partition_point(|(_, end)| *end < first);
            // The lowest port of this range that no range of `other` has been held against yet.
            let mut next = Some(first);
            for &(out_first, out_last) in &other.0[start..] {
                let Some(from) = next.filter(|_| out_first <= last) else {
                    break;
                };
                if from < out_first {
                    left.push((from, out_first - 1));
                }
                next = out_last.checked_add(1).filter(|port| *port <= last);
            }
            left.extend(next.map(|from| (from, last)));
        }
        Self(left)
    }

    /// Whether every port of this set is in `other`.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.difference(other).is_empty()
    }

    /// The ports in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.0.iter().flat_map(|(first, last)| *first..=*last)
    }

    /// The ranges in ascending order.
    pub fn ranges(&self) -> &[(u16, u16)] {
        &self.0
    }
}

impl FromIterator<u16> for PortSet {
    fn from_iter<I: IntoIterator<Item = u16>>(ports: I) -> Self {
        let mut set = Self::default();
        for port in ports {
            set.insert(port);
        }
        set
    }
}

/// The union of sets.
impl<'a> FromIterator<&'a Self> for PortSet {
    fn from_iter<I: IntoIterator<Item = &'a Self>>(sets: I) -> Self {
        let mut ranges: Vec<_> = sets.into_iter().flat_map(|set| &set.0).copied().collect();
        ranges.sort_unstable();
        let mut merged: Vec<(u16, u16)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            if let Some((_, end)) = merged.last_mut()
                && first <= end.saturating_add(1)
            {
                *end = last.max(*end);
            } else {
                merged.push((first, last));
            }
        }
        Self(merged)
    }
}

impl fmt::Display for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (index, (first, last)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{first}-{last}")?;
        }
        f.write_str("]")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_as_a_plain_set(steps in proptest::collection::vec((any::<bool>(), 0u16..40), 0..200)) {
            let mut set = PortSet::range(10, 20);
            let mut plain: BTreeSet<u16> = (10..=20).collect();
            for (add, port) in steps {
                let changed = if add { set.insert(port) } else { set.remove(port) };
                let expected = if add { plain.insert(port) } else { plain.remove(&port) };
                prop_assert_eq!(changed, expected);
                prop_assert_eq!(set.iter().collect::<Vec<_>>(), plain.iter().copied().collect::<Vec<_>>());
                prop_assert_eq!(set.len(), plain.len());
                for pair in set.ranges().windows(2) {
                    prop_assert!(pair[0].1 + 1 < pair[1].0, "ranges touch: {}", set);
                }
            }
        }

        #[test]
        fn combines_as_plain_sets_do(
            left in proptest::collection::btree_set(prop_oneof![0u16..40, 65500u16..=65535], 0..40),
            right in proptest::collection::btree_set(prop_oneof![0u16..40, 65500u16..=65535], 0..40),
        ) {
            let set = |plain: &BTreeSet<u16>| plain.iter().copied().collect::<PortSet>();
            let (a, b) = (set(&left), set(&right));
            prop_assert_eq!(a.union(&b), set(&(&left | &right)));
            prop_assert_eq!(a.difference(&b), set(&(&left - &right)));
            prop_assert_eq!(a.is_subset(&b), left.is_subset(&right));
            prop_assert!(a.difference(&b).is_subset(&a) && a.is_subset(&a.union(&b)));
        }
    }

    #[test]
    fn edges_of_the_port_space() {
        let mut set = PortSet::range(65534, 65535);
        assert!(set.remove(65535) && set.insert(65535) && set.insert(0));
        assert_eq!(set.to_string(), "[0-0,65534-65535]");
    }
}
