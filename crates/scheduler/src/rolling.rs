//! Arithmetic of rolling updates (marathon: `core/deployment/impl/TaskReplaceActor.scala`).

use model::{pod::UpgradeStrategy, resources::milli_from_decimal};

/// How many instances there may be, and how many old ones may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RestartStrategy {
    /// Most instances alive at a time.
    pub(crate) max_capacity: usize,
    /// How many old instances can be ended at once.
    pub(crate) kill_now: usize,
}

/// Marathon's `computeRestartStrategy`: `running` are the instances that serve, of any version.
///
/// Where nothing may be missing and nothing surplus, an ordinary pod gets one surplus instance; a pod with
/// persistent volumes (`resident`), whose instances cannot run twice, lacks one.
pub(crate) fn restart_strategy(
    target: usize,
    upgrade: &UpgradeStrategy,
    running: usize,
    resident: bool,
) -> RestartStrategy {
    let minimum = min_healthy(target, upgrade);
    let mut max_capacity = fraction(target, 1.0 + upgrade.maximum_over_capacity)
        .map_or(target, |thousandths| thousandths / 1000);
    let mut kill_now = running.saturating_sub(minimum);
    if minimum == max_capacity && max_capacity <= running {
        if resident {
            kill_now = running - minimum + 1;
        } else {
            max_capacity += 1;
        }
    }
    RestartStrategy {
        max_capacity,
        kill_now,
    }
}

/// How many instances must serve at any time.
fn min_healthy(target: usize, upgrade: &UpgradeStrategy) -> usize {
    fraction(target, upgrade.minimum_health_capacity)
        .map_or(target, |thousandths| thousandths.div_ceil(1000))
}

/// `count × factor` in thousandths, so that 10 × 0.7 is 7 and not a little more.
fn fraction(count: usize, factor: f64) -> Option<usize> {
    let count = f64::from(u32::try_from(count).ok()?);
    usize::try_from(milli_from_decimal(count * factor)?).ok()
}

/// How far a rolling update is. Instances that wait for a launch count as alive only among the new ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// How many instances are wanted.
    pub(crate) target: usize,
    /// Old instances that are to stay so far and serve.
    pub(crate) old_ready: usize,
    /// Old instances that are to stay so far and do not serve.
    pub(crate) old_unready: usize,
    /// Instances whose end was decided but not seen yet.
    pub(crate) dying: usize,
    /// New instances, whatever they are in.
    pub(crate) new: usize,
    /// New instances that serve.
    pub(crate) new_ready: usize,
}

/// What a rolling update does next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Step {
    /// How many old instances to end, those that do not serve first.
    pub(crate) kill: usize,
    /// How many new instances to make.
    pub(crate) start: usize,
}

/// Decides from the present state alone, so that an update goes on after a crash as if there had been none.
///
/// Marathon ends `kill_now` old instances at the start and one for each new instance that becomes ready;
/// keeping `min_healthy − new_ready` old ones, the ready ones first, is the same. Where Marathon would
/// wait for ever, because old instances that do not serve take the places, one of those is ended.
pub(crate) fn next_step(progress: &Progress, upgrade: &UpgradeStrategy) -> Step {
    let Progress {
        target,
        old_ready,
        old_unready,
        dying,
        new,
        new_ready,
    } = *progress;
    let old = old_ready + old_unready;
    let strategy = restart_strategy(target, upgrade, old_ready + new_ready, false);
    let keep = min_healthy(target, upgrade).saturating_sub(new_ready);
    let kill = old.saturating_sub(keep);
    let room = strategy.max_capacity.saturating_sub(old + dying + new);
    let start = target.saturating_sub(new).min(room);
    let stuck = kill == 0 && start == 0 && dying == 0 && new == new_ready && old_unready > 0;
    Step {
        kill: if stuck { 1 } else { kill },
        start,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn upgrade(minimum: f64, over: f64) -> UpgradeStrategy {
        UpgradeStrategy {
            minimum_health_capacity: minimum,
            maximum_over_capacity: over,
        }
    }

    #[test]
    fn strategy_is_marathons() {
        let cases = [
            (10, 1.0, 1.0, 10, false, 20, 0),
            (10, 0.1, 1.0, 10, false, 20, 9),
            (10, 0.1, 0.0, 1, false, 10, 0),
            (1, 0.5, 0.0, 1, false, 2, 0),
            (1, 0.5, 0.0, 0, false, 1, 0),
            (2, 0.5, 0.0, 2, false, 2, 1),
            (1, 0.5, 0.0, 1, true, 1, 1),
            (5, 0.5, 0.0, 5, true, 5, 2),
            (5, 1.0, 0.0, 5, true, 5, 1),
            (5, 1.0, 0.0, 7, true, 5, 3),
            (5, 1.0, 0.0, 3, true, 5, 0),
            (10, 0.7, 0.1, 10, false, 11, 3),
        ];
        for (target, minimum, over, running, resident, max_capacity, kill_now) in cases {
            assert_eq!(
                restart_strategy(target, &upgrade(minimum, over), running, resident),
                RestartStrategy {
                    max_capacity,
                    kill_now
                },
                "{target} {minimum}/{over} with {running} running"
            );
        }
    }

    #[test]
    fn steps_follow_progress() {
        // target, min, over, old ready, old unready, dying, new, new ready => kill, start
        let cases = [
            (10, 1.0, 1.0, 10, 0, 0, 0, 0, 0, 10),
            (10, 1.0, 1.0, 10, 0, 0, 10, 3, 3, 0),
            (2, 0.5, 0.0, 2, 0, 0, 0, 0, 1, 0),
            (2, 0.5, 0.0, 1, 0, 1, 0, 0, 0, 0),
            (2, 0.5, 0.0, 1, 0, 0, 0, 0, 0, 1),
            (1, 0.5, 0.0, 1, 0, 0, 0, 0, 0, 1),
            (1, 1.0, 0.0, 1, 0, 0, 1, 1, 1, 0),
            (3, 0.0, 0.0, 3, 0, 0, 0, 0, 3, 0),
            (2, 1.0, 0.0, 0, 2, 0, 0, 0, 1, 0),
            (3, 0.5, 0.0, 2, 2, 0, 0, 0, 2, 0),
        ];
        for (target, minimum, over, old_ready, old_unready, dying, new, new_ready, kill, start) in
            cases
        {
            let progress = Progress {
                target,
                old_ready,
                old_unready,
                dying,
                new,
                new_ready,
            };
            assert_eq!(
                next_step(&progress, &upgrade(minimum, over)),
                Step { kill, start },
                "{progress:?} {minimum}/{over}"
            );
        }
    }

    proptest! {
        /// Whatever happens to be ready when the update starts, it comes to its end, with enough ready
        /// instances and not too many alive all the way.
        #[test]
        fn updates_end_and_keep_their_bounds(
            target in 0usize..12,
            old_ready in 0usize..12,
            old_unready in 0usize..4,
            minimum in 0.0..=1.0f64,
            over in 0.0..=1.0f64,
        ) {
            let upgrade = upgrade(minimum, over);
            let mut state = Progress { target, old_ready, old_unready, ..Progress::default() };
            let floor = min_healthy(target, &upgrade).min(old_ready);
            let ceiling = restart_strategy(target, &upgrade, target, false)
                .max_capacity
                .max(old_ready + old_unready);
            for _ in 0..200 {
                let step = next_step(&state, &upgrade);
                let unready = step.kill.min(state.old_unready);
                state.old_unready -= unready;
                state.old_ready -= step.kill - unready;
                state.dying += step.kill;
                state.new += step.start;
                prop_assert!(state.old_ready + state.new_ready >= floor, "{state:?}");
                let alive = state.old_ready + state.old_unready + state.dying + state.new;
                prop_assert!(alive <= ceiling, "{state:?} above {ceiling}");
                // The world moves one thing at a time: a death first, else a new instance becomes ready.
                if state.dying > 0 {
                    state.dying -= 1;
                } else if state.new_ready < state.new {
                    state.new_ready += 1;
                } else if step == Step::default() {
                    break;
                }
            }
            let end = Progress { target, new: target, new_ready: target, ..Progress::default() };
            prop_assert_eq!(state, end);
        }
    }
}
