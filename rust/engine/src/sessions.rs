//! Keep all end-to-end sessions, found by address and by handle.
//!
//! Place     router.rs and outgoing.rs -> here
//! Spec      docs/protocol/05 §3; docs/architecture.md §2 "Bounds"
//! Keeps     at most `max_sessions`; a full table gives up the session unused for longest that carries no user traffic;
//!           strangers who keep all of them busy do not keep us from beginning one
//! Not here  when a session ends for other reasons (src/dexmesh/mesh)

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::crypto::{Address, Random};
use crate::hash::{HashKey, KeyedMap};
use crate::session::{Activity, Session};

const USER_TRAFFIC_MS: u64 = 120_000; // docs/protocol/05 §7
const LOWEST_BASE: u32 = 4;
const BASES: u32 = 100_000 - LOWEST_BASE;

/// The table.
#[derive(Debug)]
pub struct Sessions {
    by_address: KeyedMap<Address, Arc<Session>>,
    by_handle: KeyedMap<u32, Arc<Session>>,
    next_handle: u32,
    most: usize,
}

/// Where a new session may go.
#[derive(Debug)]
pub enum Admission {
    /// There is room.
    Free,
    /// There is room now that this one is gone.
    Evicted(Arc<Session>),
    /// Every session carries user traffic, and a stranger must not end one.
    Full,
}

impl Sessions {
    /// No sessions yet; the first handle is drawn.
    #[must_use]
    pub fn new(random: &mut dyn Random, key: HashKey, most: usize) -> Self {
        let mut bytes = [0; 4];
        random.fill(&mut bytes);
        Self {
            by_address: KeyedMap::with_hasher(key),
            by_handle: KeyedMap::with_hasher(key),
            next_handle: LOWEST_BASE + u32::from_be_bytes(bytes) % BASES,
            most: most.max(1),
        }
    }

    /// The session with a node.
    #[must_use]
    pub fn with(&self, address: &Address) -> Option<&Arc<Session>> {
        self.by_address.get(address)
    }

    /// The session a handle of ours names.
    #[must_use]
    pub fn by_handle(&self, handle: u32) -> Option<&Arc<Session>> {
        self.by_handle.get(&handle)
    }

    /// A handle that was never used.
    pub fn next_handle(&mut self) -> u32 {
        loop {
            let handle = self.next_handle;
            self.next_handle = match handle {
                u32::MAX.. | 0xffff_fffe => LOWEST_BASE,
                _ => handle + 1,
            };
            if !self.by_handle.contains_key(&handle) {
                return handle;
            }
        }
    }

    /// Make room for one more. One that we begin always gets it.
    pub fn admit(&mut self, now_ms: u64, is_incoming: bool) -> Admission {
        if self.by_address.len() < self.most {
            return Admission::Free;
        }
        let unused = self
            .by_address
            .values()
            .map(|session| {
                let is_busy = carries_user_traffic(&session.activity, now_ms);
                (is_busy, last_used_ms(&session.activity), session)
            })
            .filter(|(is_busy, ..)| !is_busy || !is_incoming)
            .min_by_key(|(is_busy, last_used, session)| (*is_busy, *last_used, session.handle))
            .map(|(.., session)| session.address);
        match unused.and_then(|address| self.remove(&address)) {
            Some(session) => Admission::Evicted(session),
            None => Admission::Full,
        }
    }

    /// Enter a session.
    pub fn insert(&mut self, session: &Arc<Session>) {
        self.by_address.insert(session.address, Arc::clone(session));
        self.by_handle.insert(session.handle, Arc::clone(session));
    }

    /// Take a session out.
    pub fn remove(&mut self, address: &Address) -> Option<Arc<Session>> {
        let session = self.by_address.remove(address)?;
        self.by_handle.remove(&session.handle);
        Some(session)
    }

    /// All sessions in the order of their handles.
    #[must_use]
    pub fn in_order(&self) -> Vec<Arc<Session>> {
        let mut all: Vec<_> = self.by_address.values().map(Arc::clone).collect();
        all.sort_unstable_by_key(|session| session.handle);
        all
    }
}

fn last_used_ms(activity: &Activity) -> u64 {
    let last_in = activity.last_in_ms.load(Ordering::Relaxed);
    last_in.max(activity.last_out_ms.load(Ordering::Relaxed))
}

fn carries_user_traffic(activity: &Activity, now_ms: u64) -> bool {
    let last_in = activity.last_user_in_ms.load(Ordering::Relaxed);
    let last = last_in.max(activity.last_user_out_ms.load(Ordering::Relaxed));
    last != 0 && now_ms.saturating_sub(last) < USER_TRAFFIC_MS
}
