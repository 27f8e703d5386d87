//! How many connections each kind of caller may have open.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use crate::http::access::Caller;

/// Who shares a number of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Root on the Unix socket.
    Root,
    /// The group on the Unix socket.
    Group,
    /// Whoever else came through the Unix socket, only to be refused.
    Stranger,
    /// All of TCP.
    Tcp,
    /// One address elsewhere.
    Address(IpAddr),
}

impl Kind {
    /// The most connections. Together they stay below 1024 descriptors, the usual limit of a process, with room for
    /// files and executors' sockets.
    const fn limit(self) -> u32 {
        match self {
            Self::Root | Self::Tcp => 256,
            Self::Group => 128,
            Self::Address(_) => 64,
            Self::Stranger => 16,
        }
    }
}

/// Whom a TCP connection counts for.
pub(super) fn kinds_of_tcp(caller: &Caller) -> Vec<Kind> {
    match caller {
        Caller::Tcp { remote, .. } if !remote.ip().is_loopback() => {
            vec![Kind::Tcp, Kind::Address(remote.ip())]
        }
        Caller::Tcp { .. } | Caller::Unix(_) => vec![Kind::Tcp],
    }
}

/// The places that are taken.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<BTreeMap<Kind, u32>>);

/// Places that are given back by dropping this.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    kinds: Vec<Kind>,
}

impl Places {
    /// Takes a place of each of the kinds; none if one of them has none left.
    pub(super) fn take(self: &Arc<Self>, kinds: &[Kind]) -> Option<Place> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_free = |kind: &Kind| taken.get(kind).copied().unwrap_or(0) < kind.limit();
        if !kinds.iter().all(is_free) {
            return None;
        }
        for kind in kinds {
            *taken.entry(*kind).or_default() += 1;
        }
        Some(Place {
            places: Arc::clone(self),
            kinds: kinds.to_vec(),
        })
    }

    fn give_back(&self, kinds: &[Kind]) {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for kind in kinds {
            if let Some(count) = taken.get_mut(kind) {
                *count -= 1;
                if *count == 0 {
                    taken.remove(kind);
                }
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.give_back(&self.kinds);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_kind_takes_nothing_from_another_and_places_come_back() {
        let places = Arc::new(Places::default());
        let far = Kind::Address("10.0.0.1".parse().unwrap());
        let held: Vec<_> = (0..far.limit())
            .map(|_| places.take(&[Kind::Tcp, far]).unwrap())
            .collect();
        assert!(places.take(&[Kind::Tcp, far]).is_none(), "one address");
        let near: Vec<_> = (far.limit()..Kind::Tcp.limit())
            .map(|_| places.take(&[Kind::Tcp]).unwrap())
            .collect();
        assert!(places.take(&[Kind::Tcp]).is_none(), "all of TCP");
        assert!(places.take(&[Kind::Root]).is_some(), "root");
        assert!(places.take(&[Kind::Group]).is_some(), "the group");
        drop((held, near));
        assert!(places.take(&[Kind::Tcp, far]).is_some());
        assert!(places.0.lock().unwrap().is_empty(), "nothing is remembered");
    }
}
