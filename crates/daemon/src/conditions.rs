//! What is wrong with this host or this daemon right now: shown by `/v2/info?monopod=true`, `monopod doctor` and `/metrics`.
//!
//! A condition is raised by whoever sees it and cleared by the same once it is over; where nobody sees its end, it ends
//! by time. Not to be mixed up with the condition of an instance ([`model::state::Condition`]).

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use model::time::Timestamp;
use serde::Serialize;
use tracing::{info, warn};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

macro_rules! kinds {
    ($($(#[$meta:meta])* $variant:ident = $text:literal),+ $(,)?) => {
        /// What can be wrong. A kind is there at most once at a time; its text tells the particulars.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
        pub enum Kind {
            $($(#[$meta])* #[serde(rename = $text)] $variant,)+
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The kind as documents and metrics write it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl PartialSchema for Kind {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .enum_values(Some(Self::ALL.iter().map(|kind| kind.as_str())))
                    .into()
            }
        }

        impl ToSchema for Kind {
            fn name() -> std::borrow::Cow<'static, str> {
                "ConditionKind".into()
            }
        }
    };
}

kinds! {
    /// The state directory's file system has little room or few inodes left.
    StateDiskLow = "state_disk_low",
    /// The run directory's file system has little room or few inodes left.
    RunDiskLow = "run_disk_low",
    /// Turns cannot be stored: new work is refused.
    StoreFailing = "store_failing",
    /// Commits take so long that requests wait.
    StoreSlow = "store_slow",
    /// What containers wrote could not be kept.
    LogLoss = "log_loss",
    /// Launches fail for lack of processes, descriptors, keys or watches.
    HostExhausted = "host_exhausted",
    /// The wall clock jumped.
    ClockStepped = "clock_stepped",
    /// The host now has less than running pods hold.
    OverCommitted = "over_committed",
    /// Part of what was to be recovered at start could not be used.
    RecoveryIncomplete = "recovery_incomplete",
    /// What is to be collected cannot be removed.
    CollectionFailing = "collection_failing",
    /// A configuration or certificate that was read again is refused; the one before is in force.
    ReloadRefused = "reload_refused",
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something that is wrong right now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Degraded {
    /// What.
    pub kind: Kind,
    /// When it began.
    pub since: Timestamp,
    /// The particulars and what can be done, for a person.
    pub text: String,
}

/// Everything that is wrong right now; cheap to clone, all clones are one set.
#[derive(Clone, Debug, Default)]
pub struct Conditions(Arc<Mutex<BTreeMap<Kind, Raised>>>);

#[derive(Debug)]
struct Raised {
    degraded: Degraded,
    /// When it is over by itself.
    until: Option<Timestamp>,
}

impl Conditions {
    /// Notes that something is wrong. While it lasts, `text` may change; `since` and the log line stay the first.
    pub fn raise(&self, kind: Kind, text: impl Into<String>, now: Timestamp) {
        self.put(kind, text.into(), now, None);
    }

    /// As [`Self::raise`], for what nobody sees the end of: over by itself unless it is raised again within `lasts`.
    pub fn raise_for(&self, kind: Kind, lasts: Duration, text: impl Into<String>, now: Timestamp) {
        self.put(kind, text.into(), now, Some(now.after(lasts)));
    }

    fn put(&self, kind: Kind, text: String, now: Timestamp, until: Option<Timestamp>) {
        let mut set = self.lock();
        expire(&mut set, now);
        if let Some(present) = set.get_mut(&kind) {
            present.degraded.text = text;
            present.until = until;
            return;
        }
        warn!(condition = kind.as_str(), "{text}");
        let since = now;
        let degraded = Degraded { kind, since, text };
        set.insert(kind, Raised { degraded, until });
    }

    /// Notes that it is over; nothing happens if it was not raised.
    pub fn clear(&self, kind: Kind) {
        if let Some(over) = self.lock().remove(&kind) {
            tell_over(&over.degraded);
        }
    }

    /// One condition, if it is there.
    pub fn get(&self, kind: Kind) -> Option<Degraded> {
        self.lock().get(&kind).map(|raised| raised.degraded.clone())
    }

    /// All of them, in the order of [`Kind::ALL`].
    pub fn list(&self, now: Timestamp) -> Vec<Degraded> {
        let mut set = self.lock();
        expire(&mut set, now);
        set.values().map(|raised| raised.degraded.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Kind, Raised>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn expire(set: &mut BTreeMap<Kind, Raised>, now: Timestamp) {
    set.retain(|_, raised| {
        let is_over = raised.until.is_some_and(|until| until <= now);
        if is_over {
            tell_over(&raised.degraded);
        }
        !is_over
    });
}

fn tell_over(degraded: &Degraded) {
    let condition = degraded.kind.as_str();
    info!(condition, "over: {}", degraded.text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_keeps_its_beginning_until_it_is_cleared() {
        let conditions = Conditions::default();
        let at = Timestamp::from_millis;
        conditions.raise(Kind::StoreFailing, "disk full", at(1));
        conditions.raise(Kind::StateDiskLow, "1 % left", at(2));
        conditions
            .clone()
            .raise(Kind::StateDiskLow, "0 % left", at(3));
        let told: Vec<_> = conditions
            .list(at(3))
            .into_iter()
            .map(|degraded| (degraded.kind.as_str(), degraded.since, degraded.text))
            .collect();
        assert_eq!(
            told,
            [
                ("state_disk_low", at(2), "0 % left".to_owned()),
                ("store_failing", at(1), "disk full".to_owned()),
            ]
        );
        conditions.clear(Kind::StateDiskLow);
        conditions.clear(Kind::LogLoss);
        assert_eq!(conditions.list(at(4)).len(), 1);
        assert!(conditions.get(Kind::StateDiskLow).is_none());
        let json = serde_json::to_value(conditions.get(Kind::StoreFailing)).unwrap();
        assert_eq!(json["kind"], "store_failing");
    }
    #[test]
    fn what_nobody_sees_the_end_of_ends_by_time() {
        let conditions = Conditions::default();
        let at = Timestamp::from_millis;
        let raise = |now| {
            let lasts = Duration::from_millis(10);
            conditions.raise_for(Kind::HostExhausted, lasts, "no keys", at(now));
        };
        raise(1);
        raise(8);
        let since = |now| conditions.list(at(now)).first().map(|found| found.since);
        assert_eq!(since(17), Some(at(1)), "raised again, it lasts on");
        assert_eq!(since(18), None);
        raise(20);
        assert_eq!(since(21), Some(at(20)), "a new one");
        // One that is raised when the one before is over, but nobody has looked, is a new one, too.
        raise(40);
        assert_eq!(since(41), Some(at(40)));
    }
}
