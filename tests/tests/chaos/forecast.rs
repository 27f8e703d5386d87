//! What fails in a round.

use e2e::{kernel, random::Random};

use crate::workload::Chaos;

/// Failures of the calls that a launch makes.
const LAUNCH_ERRORS: [&str; 5] = ["ENOSPC", "EIO", "EROFS", "EMFILE", "ENOMEM"];

/// What the weather of a round is.
#[derive(Clone, Debug)]
pub(crate) struct Forecast {
    /// For the tally.
    pub(crate) name: &'static str,
    /// For the library.
    pub(crate) rules: Vec<String>,
}

impl Chaos {
    /// A random one; every third is fine.
    pub(crate) fn forecast(&mut self) -> Forecast {
        let places = self.places();
        let random = &mut self.random;
        let (name, rules) = match random.below(12) {
            0..4 => ("fine", Vec::new()),
            4 | 5 => ("failing store", store_fails(random)),
            6 => ("death in the store", vec![death_in_the_store(random)]),
            7 => ("slow store", vec![slow_store(random)]),
            8 | 9 => ("failing launches", launches_fail(random, &places)),
            10 => (
                "death in a launch",
                vec![death_in_a_launch(random, &places)],
            ),
            _ => ("no descriptors", no_descriptors(random)),
        };
        Forecast { name, rules }
    }

    /// Parts of the paths that launches write to.
    fn places(&self) -> Vec<String> {
        let (run, state) = (self.host.run_dir(), self.host.state_dir());
        let cgroups = ["memory", "cpu", "freezer"].map(|controller| {
            let path = kernel::cgroup_path(controller, self.host.cgroup_parent(), "");
            path.display().to_string()
        });
        let mut places = vec![
            run.join("runs/").display().to_string(),
            state.join("sandboxes/").display().to_string(),
        ];
        places.extend(cgroups);
        places
    }
}

/// How many calls are hit; -1 for all.
fn count(random: &mut Random) -> i64 {
    random.pick(&[1, 1, 2, 3, 8, -1])
}

fn pick<'a>(random: &mut Random, choices: &'a [String]) -> &'a str {
    let index = random.below(choices.len() as u64);
    &choices[usize::try_from(index).unwrap()]
}

/// Often one rule, sometimes several.
fn some(random: &mut Random, mut rule: impl FnMut(&mut Random) -> String) -> Vec<String> {
    let rules = random.pick(&[1, 1, 2, 3]);
    (0..rules).map(|_| rule(random)).collect()
}

fn store_fails(random: &mut Random) -> Vec<String> {
    some(random, |random| {
        let call = random.pick(&[
            "pwrite",
            "pwrite",
            "fdatasync",
            "fsync",
            "ftruncate",
            "open",
            "pread",
        ]);
        let effect = random.pick(&["ENOSPC", "EIO", "EROFS"]);
        let (skip, count) = (random.below(12), count(random));
        format!("{call} monopod.db {skip} {count} {effect}")
    })
}

/// Between any two steps of a commit, or of a checkpoint.
fn death_in_the_store(random: &mut Random) -> String {
    let call = random.pick(&["pwrite", "pwrite", "fdatasync", "fsync"]);
    let skip = random.below(60);
    format!("{call} monopod.db {skip} 1 kill")
}

fn slow_store(random: &mut Random) -> String {
    let (skip, count) = (random.below(6), 1 + random.below(3));
    let delay = 20 + random.below(300);
    format!("fdatasync monopod.db {skip} {count} delay:{delay}")
}

fn launches_fail(random: &mut Random, places: &[String]) -> Vec<String> {
    some(random, |random| {
        let effect = random.pick(&LAUNCH_ERRORS);
        let (skip, count) = (random.below(15), count(random));
        if random.below(8) == 0 {
            return format!("spawn - {} {count} EAGAIN", skip % 3);
        }
        let call = random.pick(&[
            "mkdir", "open", "open", "write", "rename", "unlink", "rmdir", "chmod",
        ]);
        let place = pick(random, places);
        format!("{call} {place} {skip} {count} {effect}")
    })
}

fn death_in_a_launch(random: &mut Random, places: &[String]) -> String {
    let skip = random.below(40);
    if random.below(6) == 0 {
        return format!("spawn - {} 1 kill", skip % 5);
    }
    let call = random.pick(&["mkdir", "open", "write", "rename", "rmdir", "unlink"]);
    let place = pick(random, places);
    format!("{call} {place} {skip} 1 kill")
}

fn no_descriptors(random: &mut Random) -> Vec<String> {
    let effect = random.pick(&["EMFILE", "ENFILE", "ENOMEM"]);
    let (skip, count) = (random.below(40), 1 + random.below(30));
    let call = random.pick(&["open", "open", "accept"]);
    vec![format!("{call} - {skip} {count} {effect}")]
}
