//! Output of containers that cannot be kept right now, as their executors tell.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use model::id::RunId;
use runtime::containerizer::Containerizer;
use tokio::task::spawn_blocking;

use crate::{
    clock,
    conditions::{Conditions, Kind},
};

/// So many containers are named; more would only make a long text.
const NAMED: usize = 5;

/// Raises [`Kind::LogLoss`] while output of any container gets lost.
#[derive(Debug)]
pub(super) struct LogLosses {
    containerizer: Arc<Containerizer>,
    conditions: Conditions,
    lasting: Mutex<Lasting>,
}

/// What gets lost right now.
#[derive(Debug, Default)]
struct Lasting(BTreeMap<(RunId, String), Loss>);

#[derive(Debug)]
struct Loss {
    pod: String,
    bytes: u64,
}

impl LogLosses {
    pub(super) fn new(containerizer: Arc<Containerizer>, conditions: Conditions) -> Self {
        Self {
            containerizer,
            conditions,
            lasting: Mutex::default(),
        }
    }

    /// Takes note of what an executor told.
    pub(super) async fn told(&self, run: RunId, container: String, bytes: u64, lasting: bool) {
        let containerizer = Arc::clone(&self.containerizer);
        let pod = spawn_blocking(move || containerizer.pod_of(run)).await;
        let pod = pod.ok().flatten().unwrap_or_else(|| run.to_string());
        self.change(|set| {
            if lasting {
                set.0.insert((run, container), Loss { pod, bytes });
            } else {
                set.0.remove(&(run, container));
            }
        });
    }

    /// Nothing of a run is written any more.
    pub(super) fn over(&self, run: RunId) {
        self.change(|set| set.0.retain(|(of, _), _| *of != run));
    }

    fn change(&self, change: impl FnOnce(&mut Lasting)) {
        let mut lasting = self.lasting.lock().unwrap_or_else(PoisonError::into_inner);
        let before = !lasting.0.is_empty();
        change(&mut lasting);
        // Raised and cleared under the lock, so that what is told last holds.
        match lasting.text() {
            Some(text) => self.conditions.raise(Kind::LogLoss, text, clock::now()),
            None if before => self.conditions.clear(Kind::LogLoss),
            None => {}
        }
    }
}

impl Lasting {
    fn text(&self) -> Option<String> {
        let mut told: Vec<String> = self.0.iter().take(NAMED).map(Loss::told).collect();
        let more = self.0.len().saturating_sub(NAMED);
        if more > 0 {
            told.push(format!("{more} more containers"));
        }
        let told = told.join(", ");
        (!told.is_empty()).then(|| {
            format!("output cannot be kept of {told}; make room on the disk of the sandboxes")
        })
    }
}

impl Loss {
    fn told(((_, container), loss): (&(RunId, String), &Self)) -> String {
        let Self { pod, bytes } = loss;
        format!("pod {pod}, container {container} ({bytes} bytes lost)")
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_text_names_pods_containers_and_bytes_and_stays_short() {
        let mut lasting = Lasting::default();
        assert_eq!(lasting.text(), None);
        let mut add = |number: u32| {
            let run = RunId {
                instance: Uuid::from_u128(1),
                incarnation: number,
            };
            let pod = format!("/p{number}");
            let loss = Loss { pod, bytes: 7 };
            lasting.0.insert((run, "c".to_owned()), loss);
            lasting.text().unwrap()
        };
        let one = "output cannot be kept of pod /p1, container c (7 bytes lost); make room on the disk of the sandboxes";
        assert_eq!(add(1), one);
        let texts: Vec<String> = (2..=20).map(add).collect();
        assert!(texts[3].contains("/p5, ") && !texts[3].contains("more"));
        assert!(texts[18].contains("/p5, ") && texts[18].contains("15 more containers"));
    }
}
