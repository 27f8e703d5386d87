//! Containers whose memory is used up, where the kernel does not end them as a whole by itself: version 1 of cgroups.
//! On version 2 `memory.oom.group` does, and nothing here ever happens.

use std::time::{Duration, Instant};

use super::EventLoop;
use crate::{
    container::report::chain,
    executor::{
        vessel::{MemoryWatch, Vessel},
        wakeups::Source,
    },
    pod::Event,
};

/// Between a notice and the kill that it announces there is nothing to wait on.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

impl EventLoop {
    /// Begins to watch a container that now runs its own command.
    pub(super) fn watch_memory(&mut self, index: usize) {
        let watched = self.means.cgroups.watch_memory(&self.cgroup(index));
        let registered = watched.and_then(|notices| {
            let Some(notices) = notices else {
                return Ok(());
            };
            let watch = MemoryWatch::new(notices);
            self.wakeups.add(&watch, Source::Memory(index))?;
            self.vessels[index].memory = Some(watch);
            Ok(())
        });
        if let Err(error) = registered {
            // Its first process's end is still understood.
            eprintln!("failed to watch the container's memory: {}", chain(&error));
        }
    }

    pub(super) fn memory_noticed(&mut self, index: usize) {
        if let Some(watch) = &mut self.vessels[index].memory {
            watch.noticed(Instant::now());
        }
    }

    /// When to look whether the kernel killed, after it gave notice.
    pub(super) fn next_memory_look(&self) -> Option<Duration> {
        let waits = |vessel: &Vessel| {
            let watch = vessel.memory.as_ref();
            watch.is_some_and(|watch| watch.look_until.is_some())
        };
        self.vessels.iter().any(waits).then_some(LOOK_AGAIN)
    }

    pub(super) fn look_for_memory_kills(&mut self) {
        let now = Instant::now();
        for index in 0..self.vessels.len() {
            let watch = self.vessels[index].memory.as_ref();
            let Some(until) = watch.and_then(|watch| watch.look_until) else {
                continue;
            };
            let killed = self.means.cgroups.oom_kills(&self.cgroup(index)) > 0;
            if killed {
                self.happened.push_back(Event::OutOfMemory(index));
            }
            if (killed || now >= until)
                && let Some(watch) = &mut self.vessels[index].memory
            {
                watch.look_until = None;
            }
        }
    }
}
