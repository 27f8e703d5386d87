//! What a definition would do: the request is made of a copy, and the copy plays on as if all went well.

use std::sync::Arc;

use model::{
    id::{DeploymentId, InstanceId, OfferId, PodId},
    offer::Offer,
    pod::PodDefinition,
    record::DeploymentRecord,
    state::TaskState,
    task_group::TaskGroup,
    update::{RunOutcome, RunOver, TaskUpdate},
};

use crate::{
    Announcement, Denied, Effect, Event, Request, Scheduler, Turn, WaitReason, instance::Instance,
};

/// More moves than this are not played: so many are no plan that a person reads.
const MOST_MOVES: usize = 10_000;

/// What would come of a definition.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The pod's definition now; none if it would be new.
    pub present: Option<Arc<PodDefinition>>,
    /// The deployment as it would begin; none if nothing would change.
    pub deployment: Option<DeploymentRecord>,
    /// The deployment that works on the pod now: the request would need force.
    pub locked_by: Option<DeploymentId>,
    /// What would happen to instances, in order, if every launch came off at once and every kill.
    pub moves: Vec<Move>,
    /// Why it would not come to its end by itself: what an instance would wait for.
    pub waiting: Option<WaitReason>,
}

/// One thing that would happen to an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// One of the new definition is launched.
    Launch,
    /// A run of an instance that is there now is ended.
    End(InstanceId),
    /// As `End`, before a successor runs, because that waits for what the instance holds.
    MakeRoom(InstanceId, WaitReason),
}

impl Scheduler {
    /// Works out what [`Request::PutPod`] of the definition would do. Changes nothing.
    ///
    /// # Errors
    /// What the request would be denied for, but for a deployment in the way.
    pub fn plan(&self, definition: PodDefinition, turn: &mut Turn<'_>) -> Result<Plan, Denied> {
        let id = definition.id.clone();
        let pod = self.pods.get(&id).filter(|pod| !pod.record.removing);
        let mut plan = Plan {
            present: pod.map(|pod| pod.definition.clone()),
            deployment: None,
            locked_by: self.pods.get(&id).and_then(|pod| pod.deployment),
            moves: Vec::new(),
            waiting: None,
        };
        let mut trial = self.clone();
        trial.end_what_dies(turn);
        let force = true;
        let (answer, effects) = trial.request(Request::PutPod { definition, force }, turn);
        let deployment = answer?.deployment;
        let is_ours = |effect: &Effect| {
            let Effect::Announce(Announcement::DeploymentStarted(record)) = effect else {
                return None;
            };
            (Some(record.id) == deployment).then(|| DeploymentRecord::clone(record))
        };
        plan.deployment = effects.iter().find_map(is_ours);
        if plan.deployment.is_some() {
            trial.play(&id, effects, turn, &mut plan.moves);
            plan.waiting = trial.first_reason_to_wait(&id);
        }
        Ok(plan)
    }

    /// Does what was decided, at once and well, until nothing follows any more.
    fn play(
        &mut self,
        pod: &PodId,
        mut effects: Vec<Effect>,
        turn: &mut Turn<'_>,
        moves: &mut Vec<Move>,
    ) {
        while moves.len() < MOST_MOVES {
            let mut next = Vec::new();
            for effect in effects {
                let found = self.move_of(pod, &effect);
                moves.extend(found.filter(|found| !is_told(found, moves)));
                next.extend(self.consequence(effect, turn));
            }
            while next.is_empty() && self.wants_offers(turn.now) {
                let free = self.free();
                let offer = Offer {
                    id: OfferId(0),
                    claim: free.sum(),
                    pools: free,
                    expires: turn.now,
                };
                let total = self.config.total.clone();
                let answer = self.consider(&offer, &total, turn);
                next.extend(answer.effects);
            }
            if next.is_empty() {
                return;
            }
            effects = next;
        }
    }

    /// Runs that were told to end before end, too.
    fn end_what_dies(&mut self, turn: &mut Turn<'_>) {
        let instances = self.pods.values().flat_map(|pod| pod.instances.values());
        let told = instances.filter(|one| one.is_dying() && one.kill_sent.is_some());
        let dying: Vec<_> = told.map(Instance::run).collect();
        for run in dying {
            let outcome = RunOutcome::Completed;
            self.observe(Event::RunOver(RunOver { run, outcome }), turn);
        }
    }

    fn move_of(&self, pod: &PodId, effect: &Effect) -> Option<Move> {
        match effect {
            Effect::Launch(group) => (group.definition.id == *pod).then_some(Move::Launch),
            Effect::Kill { run, .. } => {
                let owner = self.pods.get(self.owners.get(&run.instance)?)?;
                let instance = owner.instances.get(&run.instance)?;
                (owner.record.id == *pod).then(|| Move::End(instance.record.id.clone()))
            }
            Effect::Announce(Announcement::MadeRoom { instance, reason }) => {
                (self.owners.get(&instance.uuid) == Some(pod))
                    .then(|| Move::MakeRoom(instance.clone(), reason.clone()))
            }
            Effect::Record(_)
            | Effect::Harden
            | Effect::Release(_)
            | Effect::Acknowledge { .. }
            | Effect::Announce(_) => None,
        }
    }

    fn consequence(&mut self, effect: Effect, turn: &mut Turn<'_>) -> Vec<Effect> {
        match effect {
            Effect::Launch(group) => {
                let runs = running(&group, turn);
                let updates = runs.into_iter().map(Event::Update);
                updates
                    .flat_map(|event| self.observe(event, turn))
                    .collect()
            }
            Effect::Kill { run, .. } => {
                let outcome = RunOutcome::Completed;
                self.observe(Event::RunOver(RunOver { run, outcome }), turn)
            }
            Effect::Record(_)
            | Effect::Harden
            | Effect::Release(_)
            | Effect::Acknowledge { .. }
            | Effect::Announce(_) => Vec::new(),
        }
    }

    fn first_reason_to_wait(&self, id: &PodId) -> Option<WaitReason> {
        let view = self.view(id)?;
        let mut reasons = view.instances.into_iter().filter_map(|one| one.waiting);
        reasons.next()
    }
}

/// Whether the end of the instance was told of already, with its reason.
fn is_told(found: &Move, moves: &[Move]) -> bool {
    let Move::End(instance) = found else {
        return false;
    };
    let mut rooms = moves.iter();
    rooms.any(|before| matches!(before, Move::MakeRoom(other, _) if other == instance))
}

/// All containers of a run, running and healthy.
fn running(group: &TaskGroup, turn: &Turn<'_>) -> Vec<TaskUpdate> {
    let update = |(sequence, task): (u64, &model::task_group::Task)| TaskUpdate {
        run: group.run,
        sequence,
        at: turn.now,
        container: task.container.clone(),
        state: TaskState::Running,
        reason: None,
        message: String::new(),
        exit: None,
        healthy: Some(true),
    };
    (1..).zip(&group.tasks).map(update).collect()
}
