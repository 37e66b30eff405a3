//! Move packets between TUN, engine and sockets with two threads: `tx` from the TUN, `rx` from the sockets.
//!
//! Place     rust/python gives descriptors -> here -> rust/engine; the engine sends through [`RunnerSink`]
//! Spec      docs/architecture.md §2
//! Keeps     an unreachable peer, a lost TUN or a removed interface never ends a thread; what ends is told by a [`Fault`]
//!           and a poke of the event descriptor; no thread spins on an error
//! Not here  opening sockets and devices (src/dexmesh/host)

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::os::fd::{OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use dexmesh_engine::Sink;
use dexmesh_engine::drop::DropReason;
use dexmesh_engine::message::{Endpoint, InterfaceNumber};

use crate::attachments::Attachments;
use crate::offload::Coalescer;
use crate::plane::PacketEngine;
use crate::stats::{IoCounters, IoStats, add};
use crate::sys::{EventFd, drop_capabilities};
use crate::threads::{receive_loop, transmit_loop};
use crate::tun::{TunMode, TunPort};
use crate::udp::{UdpPort, UdpRungs};

/// Most interfaces a node may have.
pub const MOST_INTERFACES: usize = 64;
const MOST_FAULTS: usize = 64;
/// How long a detach waits for the threads to let go of a descriptor.
const LET_GO: Duration = Duration::from_secs(1);

/// Something that stopped working by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The TUN device is gone; attach another one.
    TunGone(String),
    /// A socket broke and was detached.
    SocketBroken(InterfaceNumber, String),
    /// A thread ended by a bug of ours; the node cannot go on.
    ThreadEnded(&'static str),
}

/// Which rungs of the fallback ladder are in use now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Of the TUN, if there is one.
    pub tun: Option<TunMode>,
    /// Of each socket.
    pub sockets: Vec<(InterfaceNumber, UdpRungs)>,
}

/// The two threads, by number.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Thread {
    Transmit = 0,
    Receive = 1,
}

/// What the threads and the callers share.
pub(crate) struct Shared {
    pub engine: Arc<dyn PacketEngine>,
    pub stats: IoCounters,
    pub wakers: [EventFd; 2],
    pub rungs: UdpRungs,
    attachments: RwLock<Arc<Attachments>>,
    is_stopping: AtomicBool,
    has_given_up_rights: AtomicBool,
    seen: Mutex<[u64; 2]>,
    seen_changed: Condvar,
    faults: Mutex<VecDeque<Fault>>,
    events: Arc<EventFd>,
}

/// Owns the threads. Dropping it stops them.
pub struct Runner {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Runner {
    /// Start both threads; they wait until something is attached.
    pub fn new(engine: Arc<dyn PacketEngine>, rungs: UdpRungs) -> io::Result<Runner> {
        let events = Arc::new(EventFd::new()?);
        let waker = Arc::clone(&events);
        engine.set_waker(Box::new(move || waker.poke()));
        let shared = Arc::new(Shared {
            engine,
            stats: IoCounters::default(),
            wakers: [EventFd::new()?, EventFd::new()?],
            rungs,
            attachments: RwLock::default(),
            is_stopping: AtomicBool::new(false),
            has_given_up_rights: AtomicBool::new(false),
            seen: Mutex::default(),
            seen_changed: Condvar::new(),
            faults: Mutex::default(),
            events,
        });
        let runner = Runner {
            shared,
            threads: Mutex::default(),
        };
        runner.start(Thread::Transmit, "dexmesh-tx", transmit_loop)?;
        runner.start(Thread::Receive, "dexmesh-rx", receive_loop)?;
        Ok(runner)
    }

    fn start(&self, thread: Thread, name: &'static str, body: fn(&Shared)) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let builder = thread::Builder::new().name(name.to_owned());
        let handle = builder.spawn(move || {
            if catch_unwind(AssertUnwindSafe(|| body(&shared))).is_err() {
                shared.report(Fault::ThreadEnded(name));
            }
            shared.note_seen(thread, u64::MAX);
        })?;
        lock(&self.threads).push(handle);
        Ok(())
    }

    /// Use a bound UDP socket for this interface, instead of an earlier one.
    pub fn attach_udp(&self, interface: InterfaceNumber, fd: OwnedFd) -> io::Result<()> {
        let port = Arc::new(UdpPort::new(fd, self.shared.rungs)?);
        let is_attached = self.shared.replace(|now| {
            let mut next = now.without_socket(interface);
            next.sockets.push((interface, port));
            (next.sockets.len() <= MOST_INTERFACES).then_some(next)
        });
        if is_attached {
            Ok(())
        } else {
            Err(io::Error::from_raw_os_error(libc::ENOSPC))
        }
    }

    /// Let go of an interface's socket; it is closed when this returns. False if there was none.
    pub fn detach_udp(&self, interface: InterfaceNumber) -> bool {
        self.shared.replace(|now| {
            now.socket(interface)?;
            Some(now.without_socket(interface))
        })
    }

    /// Use an opened TUN descriptor, instead of an earlier one.
    pub fn attach_tun(&self, fd: OwnedFd, mode: TunMode) -> io::Result<()> {
        let port = Arc::new(TunPort::new(fd, mode)?);
        self.shared.replace(|now| {
            let mut next = now.clone();
            next.tun = Some(port);
            Some(next)
        });
        Ok(())
    }

    /// Let go of the TUN; it is closed when this returns. False if there was none.
    pub fn detach_tun(&self) -> bool {
        self.shared.replace(|now| {
            now.tun.as_ref()?;
            let mut next = now.clone();
            next.tun = None;
            Some(next)
        })
    }

    /// Take every capability from both threads: descriptors come open, so they need none. Call it after the process has
    /// changed its user, which the C library must be able to do in every thread.
    pub fn give_up_rights(&self) {
        self.shared
            .has_given_up_rights
            .store(true, Ordering::SeqCst);
        self.shared.replace(|now| Some(now.clone()));
    }

    /// Becomes readable when the engine has events, or there are faults to take.
    #[must_use]
    pub fn event_fd(&self) -> RawFd {
        self.shared.events.raw_fd()
    }

    /// Make the event descriptor quiet, before taking events.
    pub fn clear_event_fd(&self) {
        self.shared.events.clear();
    }

    /// What broke since the last call. Its descriptors are closed when this returns, so that the address can be bound
    /// again.
    #[must_use]
    pub fn take_faults(&self) -> Vec<Fault> {
        let faults: Vec<_> = lock(&self.shared.faults).drain(..).collect();
        if !faults.is_empty() {
            self.shared.settle(self.shared.current().generation);
        }
        faults
    }

    /// Which rungs are in use now.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        let now = self.shared.current();
        Capabilities {
            tun: now.tun.as_ref().map(|port| port.mode()),
            sockets: now
                .sockets
                .iter()
                .map(|(interface, port)| (*interface, port.rungs()))
                .collect(),
        }
    }

    /// Calls and packets so far.
    #[must_use]
    pub fn io_stats(&self) -> IoStats {
        self.shared.stats.snapshot()
    }

    /// Let a command of the engine send at once, from the calling thread.
    pub fn with_sink<R>(&self, run: impl FnOnce(&mut dyn Sink) -> R) -> R {
        let now = self.shared.current();
        let mut coalescer = Coalescer::default();
        run(&mut RunnerSink::new(&self.shared, &now, &mut coalescer))
    }

    /// End the threads and close every descriptor. May be called more than once.
    pub fn stop(&self) {
        self.shared.is_stopping.store(true, Ordering::SeqCst);
        self.shared.wake_threads();
        for thread in lock(&self.threads).drain(..) {
            let _ = thread.join();
        }
        self.shared.replace(|now| {
            Some(Attachments {
                generation: now.generation,
                ..Attachments::default()
            })
        });
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    /// Who is attached now.
    pub fn current(&self) -> Arc<Attachments> {
        let guard = self
            .attachments
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&guard)
    }

    pub fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::SeqCst)
    }

    /// Put the next state of affairs in place and wait until both threads work with it. False if `change` made none.
    fn replace(&self, change: impl FnOnce(&Attachments) -> Option<Attachments>) -> bool {
        let Some((generation, old)) = self.exchange(change) else {
            return false;
        };
        drop(old);
        self.settle(generation);
        true
    }

    /// Wait until both threads work with this generation or a later one.
    fn settle(&self, generation: u64) {
        self.wake_threads();
        let seen = lock(&self.seen);
        let is_behind = |seen: &mut [u64; 2]| {
            !self.is_stopping() && seen.iter().any(|number| *number < generation)
        };
        drop(
            self.seen_changed
                .wait_timeout_while(seen, LET_GO, is_behind),
        );
    }

    fn exchange(
        &self,
        change: impl FnOnce(&Attachments) -> Option<Attachments>,
    ) -> Option<(u64, Arc<Attachments>)> {
        let mut guard = self
            .attachments
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let mut next = change(&guard)?;
        next.generation = guard.generation + 1;
        let generation = next.generation;
        Some((generation, std::mem::replace(&mut *guard, Arc::new(next))))
    }

    fn wake_threads(&self) {
        for waker in &self.wakers {
            waker.poke();
        }
    }

    /// A thread holds no descriptor older than this generation any more.
    pub fn note_seen(&self, thread: Thread, generation: u64) {
        let mut seen = lock(&self.seen);
        let slot = &mut seen[thread as usize];
        if *slot < generation {
            if self.has_given_up_rights.load(Ordering::SeqCst) {
                let _ = drop_capabilities();
            }
            *slot = generation;
            self.seen_changed.notify_all();
        }
    }

    fn report(&self, fault: Fault) {
        let mut faults = lock(&self.faults);
        if faults.len() < MOST_FAULTS {
            faults.push_back(fault);
        }
        drop(faults);
        self.events.poke();
    }

    /// The TUN is gone: let go of it and say so.
    pub fn lose_tun(&self, port: &Arc<TunPort>, why: &io::Error) {
        let lost = self.exchange(|now| {
            now.tun
                .as_ref()
                .filter(|present| Arc::ptr_eq(present, port))?;
            let mut next = now.clone();
            next.tun = None;
            Some(next)
        });
        if lost.is_some() {
            self.report(Fault::TunGone(why.to_string()));
        }
    }

    /// A socket is broken: let go of it and say so.
    pub fn lose_socket(&self, interface: InterfaceNumber, port: &Arc<UdpPort>, why: &io::Error) {
        let lost = self.exchange(|now| {
            now.socket(interface)
                .filter(|present| Arc::ptr_eq(present, port))?;
            Some(now.without_socket(interface))
        });
        if lost.is_some() {
            self.report(Fault::SocketBroken(interface, why.to_string()));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where the engine's packets leave: at once, from the thread that calls.
pub(crate) struct RunnerSink<'a> {
    shared: &'a Shared,
    attachments: &'a Attachments,
    coalescer: &'a mut Coalescer,
}

impl<'a> RunnerSink<'a> {
    pub fn new(
        shared: &'a Shared,
        attachments: &'a Attachments,
        coalescer: &'a mut Coalescer,
    ) -> RunnerSink<'a> {
        RunnerSink {
            shared,
            attachments,
            coalescer,
        }
    }

    fn count_drops(&self, reason: DropReason, packets: u64) {
        if packets > 0 {
            self.shared.engine.count_drops(reason, packets);
        }
    }
}

impl Sink for RunnerSink<'_> {
    fn send(
        &mut self,
        interface: InterfaceNumber,
        to: &Endpoint,
        arena: &mut [u8],
        packets: &[Range<usize>],
    ) {
        let Some(port) = self.attachments.socket(interface) else {
            self.count_drops(DropReason::LinkInterfaceGone, packets.len() as u64);
            return;
        };
        let sent = port.send(to, arena, packets);
        add(&self.shared.stats.udp_send_calls, sent.calls);
        add(&self.shared.stats.udp_packets_out, sent.packets);
        self.count_drops(DropReason::SendWouldBlock, sent.would_block);
        self.count_drops(DropReason::SendOversize, sent.oversize);
        self.count_drops(DropReason::SendFailed, sent.failed);
    }

    fn deliver(&mut self, arena: &mut [u8], packets: &[Range<usize>]) {
        let Some(port) = &self.attachments.tun else {
            self.count_drops(DropReason::TunWriteFailed, packets.len() as u64);
            return;
        };
        let written = port.write(arena, packets, self.coalescer);
        add(&self.shared.stats.tun_write_calls, written.calls);
        add(&self.shared.stats.tun_packets_out, written.packets);
        self.count_drops(DropReason::TunWriteFailed, written.failed);
    }
}
