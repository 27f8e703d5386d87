//! Identifiers: of pods, instances, runs, tasks, offers and deployments.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::json;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};
use uuid::Uuid;

/// A pod's absolute path, such as `/shop/web`.
///
/// Always starts with `/`, has at least one segment and no trailing slash. Each segment is lower case
/// letters, digits, `-` and `.` (marathon: `src/main/scala/mesosphere/marathon/state/PathId.scala`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodId(Arc<str>);

/// Why a text is no pod id; the messages are Marathon's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PodIdError {
    /// The path has no leading slash.
    #[error("Path needs to be absolute")]
    NotAbsolute,
    /// The path is empty or `/`.
    #[error("Path must contain at least one path element")]
    Empty,
    /// A segment has characters it may not have.
    #[error(
        "must fully match regular expression '^(([a-z0-9]|[a-z0-9][a-z0-9\\-]*[a-z0-9])\\.)*([a-z0-9]|[a-z0-9][a-z0-9\\-]*[a-z0-9])|(\\.|\\.\\.)$'"
    )]
    Segment,
    /// The last segment is a word that URLs use.
    #[error(
        "must not end with any of the following reserved keywords: restart, tasks, versions, ., .."
    )]
    Reserved,
}

impl PodId {
    /// Reads an absolute path; one trailing slash is dropped.
    ///
    /// # Errors
    /// The first rule that the path breaks.
    pub fn parse(text: &str) -> Result<Self, PodIdError> {
        let Some(path) = text.strip_prefix('/') else {
            return Err(if text.is_empty() {
                PodIdError::Empty
            } else {
                PodIdError::NotAbsolute
            });
        };
        let path = path.strip_suffix('/').unwrap_or(path);
        if path.is_empty() {
            return Err(PodIdError::Empty);
        }
        if !path.split('/').all(is_path_segment) {
            return Err(PodIdError::Segment);
        }
        let last = path.rsplit('/').next().unwrap_or(path);
        if ["restart", "tasks", "versions", ".", ".."].contains(&last) {
            return Err(PodIdError::Reserved);
        }
        Ok(Self(format!("/{path}").into()))
    }

    /// Reads a path as URLs and command lines give it: leading slashes may be missing or doubled.
    ///
    /// # Errors
    /// As [`PodId::parse`].
    pub fn parse_lenient(text: &str) -> Result<Self, PodIdError> {
        Self::parse(&format!("/{}", text.trim_start_matches('/')))
    }

    /// The path with its leading slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path's segments joined by `_`, as instance ids begin: `/a/b` gives `a_b`.
    pub fn safe_path(&self) -> String {
        self.0.trim_start_matches('/').replace('/', "_")
    }

    /// The path's segments reversed and joined by `.`, as host names are: `/a/b` gives `b.a`.
    pub fn host_path(&self) -> String {
        let mut segments: Vec<_> = self.0.trim_start_matches('/').split('/').collect();
        segments.reverse();
        segments.join(".")
    }
}

fn is_path_segment(segment: &str) -> bool {
    segment == "."
        || segment == ".."
        || segment.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        })
}

impl fmt::Display for PodId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// By its path: ids are in the order of their letters.
impl Borrow<str> for PodId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for PodId {
    type Err = PodIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl Serialize for PodId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for PodId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

/// What [`PodId::parse`] takes, in the regular expressions of JSON Schema.
const POD_ID_PATTERN: &str = concat!(
    r"^(?!(.*/)?(restart|tasks|versions|\.|\.\.)/?$)",
    r"(/(\.|\.\.|([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]*[a-z0-9])?))+/?$",
);

impl PartialSchema for PodId {
    fn schema() -> RefOr<Schema> {
        let schema = json!({
            "description": "A pod's absolute path, such as `/shop/web`.",
            "type": "string", "pattern": POD_ID_PATTERN, "examples": ["/shop/web"],
        });
        serde_json::from_value(schema).expect("a constant, tried by every test of schemas")
    }
}

impl ToSchema for PodId {}

/// An instance of a pod: `<safe path>.instance-<uuid>`, kept across relaunches (Marathon 1.8 and later).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId {
    /// The pod's safe path, see [`PodId::safe_path`].
    pub safe_path: String,
    /// The instance's own part.
    pub uuid: Uuid,
}

/// A text that is no instance id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a pod instance id, expected POD.instance-UUID")]
pub struct InstanceIdError {
    /// The text as given.
    pub text: String,
}

impl InstanceId {
    /// Names an instance of `pod`.
    pub fn new(pod: &PodId, uuid: Uuid) -> Self {
        Self {
            safe_path: pod.safe_path(),
            uuid,
        }
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.instance-{}", self.safe_path, self.uuid)
    }
}

impl FromStr for InstanceId {
    type Err = InstanceIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || InstanceIdError {
            text: text.to_owned(),
        };
        let (safe_path, uuid) = text.rsplit_once(".instance-").ok_or_else(error)?;
        let uuid = uuid.parse().map_err(|_| error())?;
        if safe_path.is_empty() {
            return Err(error());
        }
        Ok(Self {
            safe_path: safe_path.to_owned(),
            uuid,
        })
    }
}

/// One launch of an instance. Sandbox, cgroup, socket, journal and effects are keyed by it.
///
/// Written `<uuid>.<incarnation>`; the incarnation counts launches from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId {
    /// The instance's uuid.
    pub instance: Uuid,
    /// Which launch of the instance, from 1.
    pub incarnation: u32,
}

/// A text that is no run id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a run id, expected UUID.INCARNATION")]
pub struct RunIdError {
    /// The text as given.
    pub text: String,
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.instance, self.incarnation)
    }
}

impl FromStr for RunId {
    type Err = RunIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || RunIdError {
            text: text.to_owned(),
        };
        let (instance, incarnation) = text.split_once('.').ok_or_else(error)?;
        let instance = instance.parse().map_err(|_| error())?;
        let incarnation = incarnation.parse().map_err(|_| error())?;
        Ok(Self {
            instance,
            incarnation,
        })
    }
}

impl Serialize for RunId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RunId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

/// A task's id as clients see it: `<instance id>.<container name>.<incarnation>` (Marathon 1.8 and later).
pub fn task_id(instance: &InstanceId, container: &str, incarnation: u32) -> String {
    format!("{instance}.{container}.{incarnation}")
}

/// An offer of the agent; never used twice in one life of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OfferId(pub u64);

impl fmt::Display for OfferId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "O{}", self.0)
    }
}

/// A deployment, as the header `Marathon-Deployment-Id` gives it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(transparent)]
pub struct DeploymentId(pub Uuid);

impl fmt::Display for DeploymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pod_id_rules() {
        let cases = [
            ("/a/b", Ok("/a/b")),
            ("/a/b/", Ok("/a/b")),
            ("/a.b-c/d1", Ok("/a.b-c/d1")),
            ("a", Err(PodIdError::NotAbsolute)),
            ("", Err(PodIdError::Empty)),
            ("/", Err(PodIdError::Empty)),
            ("/A", Err(PodIdError::Segment)),
            ("/a//b", Err(PodIdError::Segment)),
            ("/-a", Err(PodIdError::Segment)),
            ("/a/restart", Err(PodIdError::Reserved)),
            ("/a/..", Err(PodIdError::Reserved)),
        ];
        for (text, expected) in cases {
            let parsed = PodId::parse(text);
            assert_eq!(
                parsed.as_ref().map(PodId::as_str),
                expected.as_ref().copied(),
                "{text}"
            );
        }
        let id = PodId::parse_lenient("//a/b").unwrap();
        assert_eq!(
            (id.safe_path().as_str(), id.host_path().as_str()),
            ("a_b", "b.a")
        );
    }

    #[test]
    fn instance_and_run_ids_round_trip() {
        let uuid = Uuid::from_u128(7);
        let instance = InstanceId::new(&PodId::parse("/a/b").unwrap(), uuid);
        assert_eq!(instance.to_string(), format!("a_b.instance-{uuid}"));
        assert_eq!(instance.to_string().parse(), Ok(instance.clone()));
        assert_eq!(
            task_id(&instance, "web", 2),
            format!("a_b.instance-{uuid}.web.2")
        );
        let run = RunId {
            instance: uuid,
            incarnation: 3,
        };
        assert_eq!(run.to_string().parse(), Ok(run));
        assert!("x".parse::<InstanceId>().is_err());
    }
}
