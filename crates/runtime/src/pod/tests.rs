//! The state machine against tables and against a shell that answers at random.

use std::collections::{BTreeMap, VecDeque};

use model::{state::Reason, time::Timestamp};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::cgroup::{MemoryKill, Shortage};

const RUN: RunId = RunId {
    instance: Uuid::from_u128(1),
    incarnation: 1,
};

fn at(millis: u64) -> Moment {
    Moment {
        wall: Timestamp::from_millis(0),
        elapsed: Duration::from_millis(millis),
    }
}

fn plan(graces_ms: &[u64], parallel: usize) -> Plan {
    let names = ["a", "b", "c", "d"];
    let members = names.iter().zip(graces_ms);
    Plan {
        run: RUN,
        members: members
            .map(|(name, grace)| ((*name).to_owned(), Duration::from_millis(*grace)))
            .collect(),
        parallel,
        launch_timeout: Duration::from_secs(30),
    }
}

fn kill(grace: Option<u64>) -> Event {
    Event::Kill {
        reason: Reason::KillRequested,
        message: String::new(),
        grace: grace.map(Duration::from_millis),
    }
}

fn ended(index: usize, exit: ExitStatus) -> Event {
    Event::Ended {
        index,
        exit,
        limits: LimitsReached::default(),
    }
}

fn not_created(index: usize) -> Event {
    Event::NotCreated {
        index,
        message: "command 'x' not found".to_owned(),
    }
}

/// An action in few words: `create 0`, `a STARTING`.
fn brief(action: &Action) -> String {
    match action {
        Action::Create(index) => format!("create {index}"),
        Action::Abandon(index) => format!("abandon {index}"),
        Action::Start(index) => format!("start {index}"),
        Action::Limit(index) => format!("limit {index}"),
        Action::Stop(index) => format!("stop {index}"),
        Action::Destroy(index) => format!("destroy {index}"),
        Action::Report(update) => {
            let state = update.state.as_str().trim_start_matches("TASK_");
            let reason = update.reason.map_or("", |reason| reason.as_str());
            let reason = reason.trim_start_matches("REASON_");
            format!("{} {state} {reason}", update.container)
                .trim()
                .to_owned()
        }
        Action::Finish => "finish".to_owned(),
    }
}

/// Plays a script from the beginning; each step is an event at a time and what is expected in answer.
fn check(plan: Plan, begin: &[&str], script: Vec<(u64, Event, &[&str])>) -> Vec<TaskUpdate> {
    let (mut pod, actions) = Pod::begin(plan, at(0));
    let mut updates = Vec::new();
    let mut compare = |actions: &[Action], expected: &[&str], step: &str| {
        let brief: Vec<_> = actions.iter().map(brief).collect();
        assert_eq!(brief, expected, "{step}");
        for action in actions {
            if let Action::Report(update) = action {
                updates.push(update.clone());
            }
        }
    };
    compare(&actions, begin, "begin");
    for (millis, event, expected) in script {
        let step = format!("{event:?}");
        let actions = pod.handle(event, at(millis));
        compare(&actions, expected, &step);
    }
    updates
}

const BEGIN_TWO: [&str; 4] = ["a STARTING", "b STARTING", "create 0", "create 1"];

fn launched() -> Vec<(u64, Event, &'static [&'static str])> {
    vec![
        (1, Event::Created(1), &[]),
        (2, Event::Created(0), &["start 0", "start 1"]),
        (3, Event::Executing(0), &["limit 0"]),
        (
            4,
            Event::Executing(1),
            &["limit 1", "a RUNNING", "b RUNNING"],
        ),
    ]
}

#[test]
fn runs_to_the_end() {
    let mut script = launched();
    script.push((9, ended(0, ExitStatus::Exited(0)), &["a FINISHED"]));
    script.push((
        10,
        ended(1, ExitStatus::Exited(0)),
        &["b FINISHED", "finish"],
    ));
    let updates = check(plan(&[3000, 3000], 2), &BEGIN_TWO, script);
    assert_eq!(updates[4].message, "Command exited with status 0");
    assert_eq!(updates[4].exit, Some(ExitStatus::Exited(0)));
}

#[test]
fn a_failure_takes_the_siblings_down_with_their_own_grace() {
    let mut script = launched();
    script.push((
        100,
        ended(0, ExitStatus::Exited(2)),
        &["a FAILED", "b KILLING GROUP_MEMBER_ENDED", "stop 1"],
    ));
    script.push((599, Event::Tick, &[]));
    script.push((600, Event::Tick, &["destroy 1"]));
    script.push((
        601,
        ended(1, ExitStatus::Signaled(9)),
        &["b KILLED GROUP_MEMBER_ENDED", "finish"],
    ));
    let updates = check(plan(&[3000, 500], 2), &BEGIN_TWO, script);
    let last = updates.last().unwrap();
    assert_eq!(
        last.message,
        "Command terminated with signal Killed (container 'a' ended: Command exited with status 2)"
    );
}

#[test]
fn a_failed_create_starts_nothing() {
    let updates = check(
        plan(&[3000, 3000, 3000], 2),
        &[
            "a STARTING",
            "b STARTING",
            "c STARTING",
            "create 0",
            "create 1",
        ],
        vec![
            (1, Event::Created(0), &["create 2"]),
            (
                2,
                not_created(1),
                &["b FAILED CONTAINER_LAUNCH_FAILED", "destroy 0", "abandon 2"],
            ),
            (3, Event::Created(2), &["destroy 2"]),
            (
                4,
                ended(0, ExitStatus::Signaled(9)),
                &["a KILLED GROUP_MEMBER_ENDED"],
            ),
            (
                5,
                ended(2, ExitStatus::Signaled(9)),
                &["c KILLED GROUP_MEMBER_ENDED", "finish"],
            ),
        ],
    );
    assert_eq!(updates[3].message, "command 'x' not found");
}

#[test]
fn a_kill_while_creating_cancels() {
    check(
        plan(&[3000, 3000, 3000], 1),
        &["a STARTING", "b STARTING", "c STARTING", "create 0"],
        vec![
            (1, Event::Created(0), &["create 1"]),
            (
                2,
                kill(None),
                &["destroy 0", "abandon 1", "c KILLED KILL_REQUESTED"],
            ),
            (3, not_created(1), &["b KILLED KILL_REQUESTED"]),
            (
                4,
                ended(0, ExitStatus::Signaled(9)),
                &["a KILLED KILL_REQUESTED", "finish"],
            ),
        ],
    );
}

#[test]
fn a_second_kill_shortens_and_never_lengthens() {
    for (second, destroyed_at) in [(Some(100), 150), (Some(9000), 510), (None, 510)] {
        let mut script = launched();
        let killing: &[&str] = &[
            "a KILLING KILL_REQUESTED",
            "stop 0",
            "b KILLING KILL_REQUESTED",
            "stop 1",
        ];
        script.push((10, kill(None), killing));
        script.push((50, kill(second), &[]));
        script.push((destroyed_at - 1, Event::Tick, &[]));
        script.push((destroyed_at, Event::Tick, &["destroy 0", "destroy 1"]));
        script.push((
            700,
            ended(0, ExitStatus::Exited(0)),
            &["a KILLED KILL_REQUESTED"],
        ));
        check(plan(&[500, 500], 2), &BEGIN_TWO, script);
    }
}

#[test]
fn an_unhandled_stop_signal_counts_as_that_signal() {
    let mut script = launched();
    script.truncate(4);
    script.push((
        10,
        kill(None),
        &[
            "a KILLING KILL_REQUESTED",
            "stop 0",
            "b KILLING KILL_REQUESTED",
            "stop 1",
        ],
    ));
    let unhandled = Event::StopUnhandled {
        index: 0,
        signal: 15,
    };
    script.push((11, unhandled, &["destroy 0"]));
    script.push((
        12,
        ended(0, ExitStatus::Signaled(9)),
        &["a KILLED KILL_REQUESTED"],
    ));
    let updates = check(plan(&[500, 500], 2), &BEGIN_TWO, script);
    let last = updates.last().unwrap();
    assert_eq!(last.exit, Some(ExitStatus::Signaled(15)));
    assert_eq!(last.message, "Command terminated with signal Terminated");
}

#[test]
fn a_quick_end_waits_until_all_run() {
    let mut script = launched();
    script.insert(3, (4, ended(0, ExitStatus::Exited(0)), &[]));
    script[4].2 = &["limit 1", "a RUNNING", "b RUNNING", "a FINISHED"];
    check(plan(&[500, 500], 2), &BEGIN_TWO, script);
}

#[test]
fn a_command_that_does_not_execute_fails_the_pod() {
    let mut script = launched();
    script.truncate(3);
    let event = Event::NotExecuting {
        index: 1,
        message: "exec format error".to_owned(),
    };
    script.push((
        5,
        event,
        &["destroy 1", "a KILLING GROUP_MEMBER_ENDED", "stop 0"],
    ));
    script.push((
        6,
        ended(1, ExitStatus::Exited(255)),
        &["b FAILED CONTAINER_LAUNCH_FAILED"],
    ));
    let updates = check(plan(&[500, 500], 2), &BEGIN_TWO, script);
    assert_eq!(updates.last().unwrap().message, "exec format error");
}

fn out_of_memory(shortage: Shortage, limit_bytes: Option<u64>) -> Event {
    let memory = MemoryKill {
        shortage,
        limit_bytes,
        peak_bytes: Some((64 << 20) + (1 << 19)),
    };
    Event::Ended {
        index: 1,
        exit: ExitStatus::Signaled(9),
        limits: LimitsReached {
            memory: Some(memory),
            pids: None,
        },
    }
}

#[test]
fn out_of_memory_is_told() {
    let limit = Some(128 << 20);
    let cases = [
        (
            out_of_memory(Shortage::Container, limit),
            "b FAILED CONTAINER_LIMITATION_MEMORY",
            "Memory limit exceeded: container 'b' reached its limit of 128 MiB (peak 64.5 MiB); Command terminated with \
             signal Killed",
        ),
        (
            out_of_memory(Shortage::Pod, limit),
            "b FAILED CONTAINER_LIMITATION_MEMORY",
            "Memory limit of the pod exceeded: its containers together reached the limit of 128 MiB, and the kernel ended \
             container 'b' (peak 64.5 MiB); Command terminated with signal Killed",
        ),
        (
            out_of_memory(Shortage::Host, None),
            "b FAILED",
            "Out of memory: the host has none left, and the kernel ended container 'b' (peak 64.5 MiB); Command terminated \
             with signal Killed",
        ),
    ];
    for (event, failed, message) in cases {
        let mut script: Vec<(u64, Event, &[&str])> = launched();
        let then: [&str; 3] = [failed, "a KILLING GROUP_MEMBER_ENDED", "stop 0"];
        script.push((9, event, &then));
        let updates = check(plan(&[500, 500], 2), &BEGIN_TWO, script);
        let told = updates.iter().find(|update| update.exit.is_some());
        assert_eq!(told.unwrap().message, message);
    }
}

#[test]
fn a_container_that_lost_a_process_to_want_of_memory_ends_as_a_whole() {
    let mut script = launched();
    script.push((9, Event::OutOfMemory(1), &["destroy 1"]));
    script.push((
        10,
        out_of_memory(Shortage::Container, None),
        &[
            "b FAILED CONTAINER_LIMITATION_MEMORY",
            "a KILLING GROUP_MEMBER_ENDED",
            "stop 0",
        ],
    ));
    script.push((11, Event::OutOfMemory(1), &[]));
    check(plan(&[500, 500], 2), &BEGIN_TWO, script);
}

#[test]
fn a_failure_after_the_limit_of_processes_says_so() {
    let mut script = launched();
    let event = Event::Ended {
        index: 1,
        exit: ExitStatus::Exited(2),
        limits: LimitsReached {
            memory: None,
            pids: Some(20),
        },
    };
    let then: &[&str] = &["b FAILED", "a KILLING GROUP_MEMBER_ENDED", "stop 0"];
    script.push((9, event, then));
    let updates = check(plan(&[500, 500], 2), &BEGIN_TWO, script);
    let told = updates.iter().find(|update| update.exit.is_some()).unwrap();
    assert!(
        told.message.contains("its limit of 20 processes"),
        "{told:?}"
    );
}

#[test]
fn a_create_that_hangs_is_given_up() {
    let updates = check(
        plan(&[500], 2),
        &["a STARTING", "create 0"],
        vec![
            (30_000, Event::Tick, &["abandon 0"]),
            (
                30_001,
                not_created(0),
                &["a FAILED CONTAINER_LAUNCH_FAILED", "finish"],
            ),
        ],
    );
    assert_eq!(
        updates[1].message,
        "the container was not created within 30 s"
    );
}

#[test]
fn a_pod_that_cannot_be_set_up_fails_whole() {
    let event = Event::NotSetUp {
        message: "no namespaces left".to_owned(),
    };
    check(
        plan(&[500, 500], 2),
        &BEGIN_TWO,
        vec![(
            1,
            event,
            &[
                "a FAILED CONTAINER_LAUNCH_FAILED",
                "b FAILED CONTAINER_LAUNCH_FAILED",
                "finish",
            ],
        )],
    );
}

/// What the world may do next, chosen by the property tests.
#[derive(Clone, Copy, Debug)]
enum Turn {
    /// The oldest unanswered action is answered well.
    Answer,
    /// The oldest unanswered action fails.
    Fail,
    /// Some container's process ends by itself.
    End(usize, i32),
    /// A kill comes in.
    Kill(Option<u64>),
    /// Time passes.
    Pass(u64),
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let turn = prop_oneof![
        6 => Just(Turn::Answer),
        1 => Just(Turn::Fail),
        2 => (0..4_usize, 0..2_i32).prop_map(|(index, code)| Turn::End(index, code)),
        1 => proptest::option::of(0..5000_u64).prop_map(Turn::Kill),
        2 => (0..2000_u64).prop_map(Turn::Pass),
    ];
    proptest::collection::vec(turn, 0..40)
}

/// The world: which processes exist and which actions are unanswered.
#[derive(Default)]
struct World {
    unanswered: VecDeque<Action>,
    processes: BTreeMap<usize, bool>,
    updates: Vec<TaskUpdate>,
    destroyed: Vec<(usize, u64)>,
    killed: Vec<(usize, u64)>,
    /// The grace that the first kill gave, if it gave one.
    first_given: Option<Option<u64>>,
    finished: usize,
    now: u64,
}

impl World {
    fn take_in(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Report(update) => self.updates.push(update),
                Action::Finish => self.finished += 1,
                Action::Limit(_) => {}
                Action::Destroy(index) => {
                    self.destroyed.push((index, self.now));
                    self.unanswered.push_back(Action::Destroy(index));
                }
                Action::Stop(index) => {
                    self.killed.push((index, self.now));
                    self.unanswered.push_back(Action::Stop(index));
                }
                other @ (Action::Create(_) | Action::Abandon(_) | Action::Start(_)) => {
                    self.unanswered.push_back(other);
                }
            }
        }
    }

    fn answer(&mut self, well: bool) -> Option<Event> {
        match self.unanswered.pop_front()? {
            Action::Create(index) if well => {
                self.processes.insert(index, false);
                Some(Event::Created(index))
            }
            Action::Create(index) => Some(not_created(index)),
            Action::Start(index) if self.processes.contains_key(&index) => {
                if well {
                    self.processes.insert(index, true);
                    return Some(Event::Executing(index));
                }
                Some(Event::NotExecuting {
                    index,
                    message: "no".to_owned(),
                })
            }
            Action::Destroy(index) => {
                self.processes.remove(&index)?;
                Some(ended(index, ExitStatus::Signaled(9)))
            }
            Action::Stop(index) if well => {
                self.processes.remove(&index)?;
                Some(ended(index, ExitStatus::Exited(0)))
            }
            Action::Stop(index) => self
                .processes
                .contains_key(&index)
                .then_some(Event::StopUnhandled { index, signal: 15 }),
            Action::Start(_) | Action::Abandon(_) => None,
            Action::Limit(_) | Action::Report(_) | Action::Finish => None,
        }
    }

    fn event(&mut self, turn: Turn) -> Option<Event> {
        match turn {
            Turn::Answer => self.answer(true),
            Turn::Fail => self.answer(false),
            Turn::End(index, code) => {
                let runs = self.processes.get(&index).copied()?;
                self.processes.remove(&index);
                let exit = if runs {
                    ExitStatus::Exited(code)
                } else {
                    ExitStatus::Signaled(9)
                };
                Some(ended(index, exit))
            }
            Turn::Kill(grace) => {
                self.first_given.get_or_insert(grace);
                Some(kill(grace))
            }
            Turn::Pass(millis) => {
                self.now += millis;
                Some(Event::Tick)
            }
        }
    }
}

fn states_of<'a>(updates: &'a [TaskUpdate], name: &'a str) -> Vec<TaskState> {
    let of = updates.iter().filter(|update| update.container == name);
    of.map(|update| update.state).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_run_ends_as_promised(
        turns in turns(),
        graces in proptest::collection::vec(0..4000_u64, 1..5),
        parallel in 1..4_usize,
    ) {
        let mut world = World::default();
        let (mut pod, actions) = Pod::begin(plan(&graces, parallel), at(0));
        world.take_in(actions);
        let mut announced_at = None;
        for turn in turns {
            if let Some(event) = world.event(turn) {
                let actions = pod.handle(event, at(world.now));
                world.take_in(actions);
            }
            let running = world.updates.iter().filter(|u| u.state == TaskState::Running).count();
            prop_assert!(running == 0 || running == graces.len(), "running is told of all or none");
            if running > 0 && announced_at.is_none() {
                announced_at = Some(world.updates.len());
            }
        }
        // A fair ending: a kill, answers, and all the time that is needed.
        let actions = pod.handle(kill(None), at(world.now));
        world.take_in(actions);
        for _ in 0..200 {
            let event = world.answer(true).unwrap_or(Event::Tick);
            world.now += 100;
            let actions = pod.handle(event, at(world.now));
            world.take_in(actions);
        }
        prop_assert!(pod.is_over(), "every run comes to its end: {pod:?}");
        prop_assert_eq!(world.finished, 1, "and ends once");
        prop_assert!(world.processes.is_empty(), "and leaves no process");
        for (place, update) in world.updates.iter().enumerate() {
            prop_assert_eq!(update.sequence, place as u64 + 1, "sequences have no gaps");
        }
        for (index, grace) in graces.iter().enumerate() {
            let name = ["a", "b", "c", "d"][index];
            let states = states_of(&world.updates, name);
            let terminal = states.iter().filter(|state| state.is_terminal()).count();
            prop_assert_eq!(terminal, 1, "exactly one terminal state: {:?}", states);
            prop_assert!(states.last().unwrap().is_terminal(), "and it is the last: {:?}", states);
            prop_assert!(states.windows(2).all(|pair| pair[0] != pair[1]), "no repeats: {:?}", states);
            prop_assert!(
                !(states.contains(&TaskState::Killing) && states.contains(&TaskState::Finished)),
                "never finished after killing: {:?}", states
            );
            let stopped = world.killed.iter().find(|(who, _)| *who == index);
            let destroyed = world.destroyed.iter().find(|(who, _)| *who == index);
            if let (Some((_, stopped)), Some((_, destroyed))) = (stopped, destroyed) {
                // The first kill sets it, later ones only shorten. Ticks come at most 2 s late here.
                let given = world.first_given.flatten().unwrap_or(0).max(*grace);
                prop_assert!(destroyed - stopped <= given + 2000, "the grace is never lengthened");
            }
        }
        let before = world.updates.len();
        let later = [Event::Created(0), Event::Executing(0), not_created(0), kill(Some(0)), Event::Tick,
            ended(0, ExitStatus::Exited(1))];
        for event in later {
            let actions = pod.handle(event, at(world.now));
            world.take_in(actions);
        }
        prop_assert_eq!(world.updates.len(), before, "terminal states absorb");
    }
}
