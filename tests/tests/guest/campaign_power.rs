//! The guest is rebooted, and its power is cut at random moments of random changes. What was acknowledged, as the host
//! wrote it down, must be there after the boot, and nothing else.
//!
//! `MONOPOD_GUEST_CUTS` (20) is how often, `MONOPOD_GUEST_SEED` repeats a run's decisions.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use e2e::{
    guest,
    guest::{Guest, marked_pod},
    random::{Random, setting},
};
use serde_json::Value;

use crate::jobs;

/// Pods that change.
const IDS: [&str; 4] = ["/power/a", "/power/b", "/power/c", "/d"];
/// A pod that nobody changes.
const BYSTANDER: &str = "/stays";
/// The power goes so many milliseconds after the changes began at the latest.
const LONGEST_LIFE_MS: u64 = 20_000;

/// What was asked of a pod: how many instances, and a marker; `None` for no pod.
type Wish = Option<(u64, String)>;

struct Campaign {
    guest: Guest,
    random: Random,
    /// What each pod may be: one wish, or two where the answer to the last request was lost.
    wishes: BTreeMap<&'static str, Vec<Wish>>,
    acknowledged: u32,
}

impl Campaign {
    fn new(guest: Guest) -> Self {
        guest.install();
        guest.import_probe();
        guest.add(&marked_pod(BYSTANDER, 1, "stays"));
        guest.wait_until_stable(BYSTANDER);
        jobs::launch(&guest);
        Self {
            guest,
            random: Random::from_environment("MONOPOD_GUEST_SEED"),
            wishes: IDS.iter().map(|id| (*id, vec![None])).collect(),
            acknowledged: 0,
        }
    }

    /// Changes pods until the guest no longer answers.
    fn work_until_cut(&mut self) {
        let delay = Duration::from_millis(self.random.below(LONGEST_LIFE_MS));
        let switch = self.guest.power_switch();
        let cut = std::thread::spawn(move || {
            std::thread::sleep(delay);
            switch.off();
        });
        while self.step() {}
        cut.join().unwrap();
        self.guest.power_cut();
    }

    /// Asks for one random change; `false` once the guest is gone.
    fn step(&mut self) -> bool {
        let id = self.random.pick(&IDS);
        let (method, wish) = match (&self.wishes[id][0], self.random.below(4)) {
            (None, _) => ("POST", self.new_wish()),
            (Some(_), 0) => ("DELETE", None),
            (Some(_), _) => ("PUT", self.new_wish()),
        };
        let path = match method {
            "POST" => "/v2/pods".to_owned(),
            _ => format!("/v2/pods{id}?force=true"),
        };
        let body: Option<Value> = wish
            .as_ref()
            .map(|(instances, marker)| marked_pod(id, *instances, marker));
        let Ok(answer) = self.guest.request(method, &path, body.as_ref()) else {
            self.wishes.get_mut(id).unwrap().push(wish);
            return false;
        };
        // A pod that is being removed may not be made anew yet.
        if (200..300).contains(&answer.status) {
            self.acknowledged += 1;
            self.wishes.insert(id, vec![wish]);
        } else {
            assert_eq!(answer.status, 409, "{method} {path}: {answer:?}");
        }
        true
    }

    fn new_wish(&mut self) -> Wish {
        let marker = self.random.below(1_000_000).to_string();
        Some((self.random.below(3), marker))
    }

    /// Each pod is what was acknowledged last, or what was asked for when the power went; nothing else is there.
    fn check_wishes(&mut self) {
        let mut found: BTreeMap<String, Wish> = BTreeMap::new();
        for (id, instances, marker) in self.guest.pods() {
            found.insert(id, Some((instances, marker)));
        }
        assert_eq!(found.remove(BYSTANDER), Some(Some((1, "stays".to_owned()))));
        for id in jobs::ids() {
            assert!(found.remove(id).is_some(), "{id} is gone");
        }
        for (id, wishes) in &mut self.wishes {
            let is = found.remove(*id).flatten();
            assert!(
                wishes.contains(&is),
                "{id} is {is:?}, not one of {wishes:?}"
            );
            *wishes = vec![is];
        }
        assert!(found.is_empty(), "pods that nobody asked for: {found:?}");
    }

    /// Everything wanted runs, once, and there is nothing beside it.
    fn check_settled(&self) {
        jobs::check_results(&self.guest);
        let mut known = self.guest.uuids(BYSTANDER);
        self.guest.wait_until_stable(BYSTANDER);
        let mut wanted = 1;
        for (id, wishes) in &self.wishes {
            if let Some((instances, _)) = &wishes[0] {
                self.guest.wait_until_stable(id);
                wanted += instances;
                known.extend(self.guest.uuids(id));
            }
        }
        assert_eq!(known.len() as u64, wanted, "{known:?}");
        self.guest.wait_until_clean(&known, guest::SOON);
        let containers = self.guest.containers();
        let cgroups: BTreeSet<_> = containers
            .iter()
            .filter_map(|line| line.split(' ').nth(2))
            .collect();
        assert_eq!(cgroups.len() as u64, 2 * wanted, "{containers:?}");
    }
}

#[test]
#[ignore = "a campaign of many minutes: make soak"]
fn what_was_acknowledged_is_there_after_reboot_and_power_cuts() {
    let mut campaign = Campaign::new(guest!());
    let id = campaign.guest.boot_id();
    campaign.guest.reboot();
    assert_ne!(campaign.guest.boot_id(), id);
    campaign.guest.wait_until_ready();
    campaign.check_wishes();
    campaign.check_settled();
    let cuts = setting("MONOPOD_GUEST_CUTS", 20);
    for round in 1..=cuts {
        campaign.work_until_cut();
        campaign.guest.boot();
        campaign.guest.wait_until_ready();
        campaign.check_wishes();
        campaign.check_settled();
        eprintln!(
            "cut {round} of {cuts}: {} changes acknowledged so far, all there",
            campaign.acknowledged
        );
    }
    assert!(campaign.acknowledged > 0, "nothing was ever acknowledged");
}
