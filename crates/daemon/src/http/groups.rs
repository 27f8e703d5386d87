//! `/v2/groups`: the folders that pods' ids make (marathon: `api/v2/GroupsResource.scala`).
//!
//! A group is there as long as a pod is in it, so that groups are neither made nor changed by themselves.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    Json,
    extract::{Query, State},
    http::{Method, Uri},
    response::{IntoResponse, Response},
};
use model::{id::PodId, time::Timestamp};
use percent_encoding::percent_decode_str;
use scheduler::{PodView, Request, status};
use serde_json::{Value, json};

use super::{Api, Shared, body::Flags, error::ApiError, query};
use crate::clock;

/// Every path below `/v2/groups`.
pub(super) async fn dispatch(
    State(api): Shared,
    method: Method,
    uri: Uri,
    Query(flags): Query<Flags>,
) -> Result<Response, ApiError> {
    let group = group_id(uri.path())?;
    match method {
        Method::GET => get(&api, group.as_ref(), &uri),
        Method::DELETE => remove(&api, group, flags).await,
        Method::POST | Method::PUT => {
            let text = "groups are made by the pods in them: add a pod with this group in its id"
                .to_owned();
            Err(ApiError::violation("/", text))
        }
        _ => Err(ApiError::MethodNotAllowed {
            method: method.to_string(),
        }),
    }
}

/// The group that a path names; none for the root.
fn group_id(path: &str) -> Result<Option<PodId>, ApiError> {
    let unknown = || ApiError::RouteUnknown {
        path: path.to_owned(),
    };
    let decoded = percent_decode_str(path)
        .decode_utf8()
        .map_err(|_| unknown())?;
    let (_, rest) = decoded.split_once("/v2/groups").ok_or_else(unknown)?;
    let id = rest.trim_matches('/');
    if id.is_empty() {
        return Ok(None);
    }
    let parsed = PodId::parse_lenient(id);
    parsed
        .map(Some)
        .map_err(|error| ApiError::violation("/", error.to_string()))
}

fn get(api: &Api, group: Option<&PodId>, uri: &Uri) -> Result<Response, ApiError> {
    let snapshot = api.handle.snapshot();
    let pods: Vec<_> = snapshot.pods.values().collect();
    let tree = Tree {
        embed: Embed::of(&query::values(uri, "embed")),
        now: clock::now(),
        unchanged: api.start.ready_at,
    };
    let path = group.map_or("", PodId::as_str);
    let within = below(path, &pods);
    if let (Some(group), true) = (group, within.is_empty()) {
        return Err(ApiError::GroupUnknown {
            group: group.clone(),
        });
    }
    Ok(Json(tree.document(path, &within)).into_response())
}

/// Removes all pods of the group, each by a deployment of its own; the last one's id is told.
async fn remove(api: &Api, group: Option<PodId>, flags: Flags) -> Result<Response, ApiError> {
    let request = Request::RemoveGroup {
        group,
        force: flags.force,
    };
    let accepted = api.handle.request(request).await?;
    let id = accepted
        .deployment
        .map(|id| id.to_string())
        .unwrap_or_default();
    let body = json!({ "version": accepted.version, "deploymentId": id });
    Ok(([("marathon-deployment-id", id)], Json(body)).into_response())
}

/// What of a group is shown.
#[derive(Debug, PartialEq, Eq)]
struct Embed {
    groups: bool,
    pods: bool,
}

impl Embed {
    /// Everything, where nothing is asked for.
    fn of(wanted: &[String]) -> Self {
        let has = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
        Self {
            groups: has("group.groups"),
            pods: has("group.pods"),
        }
    }
}

/// The pods of the group and of all groups in it; `path` is empty for the root.
fn below<'a>(path: &str, pods: &[&'a Arc<PodView>]) -> Vec<&'a Arc<PodView>> {
    let inside = |pod: &PodId| {
        pod.as_str()
            .strip_prefix(path)
            .is_some_and(|rest| rest.starts_with('/'))
    };
    pods.iter()
        .copied()
        .filter(|view| inside(&view.record.id))
        .collect()
}

struct Tree {
    embed: Embed,
    now: Timestamp,
    /// The version of a group without pods.
    unchanged: Timestamp,
}

impl Tree {
    fn document(&self, path: &str, pods: &[&Arc<PodView>]) -> Value {
        let name_in = |view: &PodView| view.record.id.as_str()[path.len() + 1..].to_owned();
        let mut groups = BTreeSet::new();
        let mut own = Vec::new();
        for view in pods {
            match name_in(view).split_once('/') {
                Some((group, _)) => {
                    groups.insert(format!("{path}/{group}"));
                }
                None => own.push(json!(status::pod_status(view, self.now))),
            }
        }
        let version = pods.iter().map(|view| view.record.version).max();
        let mut document = json!({
            "id": if path.is_empty() { "/" } else { path },
            "apps": [], "dependencies": [], "pods": [], "groups": [],
            "version": version.unwrap_or(self.unchanged), "enforceRole": false,
        });
        if self.embed.pods {
            document["pods"] = own.into();
        }
        if self.embed.groups {
            let groups = groups.iter();
            document["groups"] = groups
                .map(|group| self.document(group, &below(group, pods)))
                .collect();
        }
        document
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_named_with_or_without_slashes() {
        let id = |text: &str| Some(PodId::parse(text).unwrap());
        let cases = [
            ("/v2/groups", None),
            ("/v2/groups/", None),
            ("/service/marathon/v2/groups//", None),
            ("/v2/groups/a", id("/a")),
            ("/v2/groups//a/b/", id("/a/b")),
            ("/v2/groups/a%2Fb", id("/a/b")),
        ];
        for (path, expected) in cases {
            assert_eq!(group_id(path).unwrap(), expected, "{path}");
        }
        assert!(group_id("/v2/groups/UP").is_err());
    }

    #[test]
    fn everything_is_shown_unless_something_is_asked_for() {
        let text = |names: &[&str]| {
            names
                .iter()
                .map(|&name| name.to_owned())
                .collect::<Vec<_>>()
        };
        let everything = Embed {
            groups: true,
            pods: true,
        };
        assert_eq!(Embed::of(&[]), everything);
        let pods = Embed {
            groups: false,
            pods: true,
        };
        assert_eq!(Embed::of(&text(&["group.pods", "group.apps"])), pods);
    }
}
