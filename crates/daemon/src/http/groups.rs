//! `/v2/groups`: the folders that pods' ids make (marathon: `api/v2/GroupsResource.scala`).
//!
//! A group is there as long as a pod is in it, so that groups are neither made nor changed by themselves.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    Json,
    extract::State,
    http::Uri,
    response::{IntoResponse, Response},
};
use model::{id::PodId, status::PodStatus, time::Timestamp};
use percent_encoding::percent_decode_str;
use scheduler::{PodView, Request, status};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::{
    Api, Shared,
    body::{DeploymentResult, Force},
    error::ApiError,
    openapi::{
        answers::{Conflict, Invalid, NotFound, Nothing},
        parameters::GroupParameter,
    },
    query::{self, Query},
};
use crate::clock;

/// A group: the pods whose ids begin with its own.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Group {
    /// Its path; `/` for the root.
    id: String,
    apps: Nothing,
    dependencies: Nothing,
    /// How the pods of this very group do.
    pods: Vec<PodStatus>,
    /// The groups in it.
    #[schema(no_recursion)]
    groups: Vec<Group>,
    /// The newest version of a pod in it.
    version: Timestamp,
    /// Always `false`.
    enforce_role: bool,
}

/// `?embed=`.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "one name may stand several times")]
pub(super) struct EmbedInGroup {
    /// `group.groups`, `group.pods`: what is shown; everything where none is there. May stand several times.
    embed: Option<Vec<String>>,
}

/// All groups.
#[utoipa::path(
    get,
    path = "/v2/groups",
    tag = "marathon",
    operation_id = "rootGroup",
    params(EmbedInGroup),
    responses((status = 200, description = "The root group.", body = Group)),
)]
pub(super) async fn root(State(api): Shared, uri: Uri) -> Result<Response, ApiError> {
    group(State(api), uri).await
}

/// A group.
#[utoipa::path(
    get,
    path = "/v2/groups/{id}",
    tag = "marathon",
    operation_id = "getGroup",
    params(GroupParameter, EmbedInGroup),
    responses((status = 200, description = "The group.", body = Group), NotFound, Invalid),
)]
pub(super) async fn group(State(api): Shared, uri: Uri) -> Result<Response, ApiError> {
    let group = group_id(uri.path())?;
    get(&api, group.as_ref(), &uri)
}

/// Removes all pods.
#[utoipa::path(
    delete,
    path = "/v2/groups",
    tag = "marathon",
    operation_id = "removeRootGroup",
    params(Force),
    responses(
        (
            status = 200, description = "Each by a deployment of its own; the last one's id.", body = DeploymentResult,
            headers(("Marathon-Deployment-Id" = String, description = "The last deployment.")),
        ),
        Conflict,
    ),
)]
pub(super) async fn remove_root(
    State(api): Shared,
    uri: Uri,
    force: Query<Force>,
) -> Result<Response, ApiError> {
    remove_group(State(api), uri, force).await
}

/// Removes the pods of a group.
#[utoipa::path(
    delete,
    path = "/v2/groups/{id}",
    tag = "marathon",
    operation_id = "removeGroup",
    params(GroupParameter, Force),
    responses(
        (
            status = 200, description = "Each by a deployment of its own; the last one's id.", body = DeploymentResult,
            headers(("Marathon-Deployment-Id" = String, description = "The last deployment.")),
        ),
        NotFound, Conflict, Invalid,
    ),
)]
pub(super) async fn remove_group(
    State(api): Shared,
    uri: Uri,
    Query(Force { force }): Query<Force>,
) -> Result<Response, ApiError> {
    let group = group_id(uri.path())?;
    let accepted = api
        .handle
        .request(Request::RemoveGroup { group, force })
        .await?;
    Ok(DeploymentResult::from(&accepted).answer())
}

/// Refused: groups are made by the pods in them.
#[utoipa::path(
    method(post, put),
    path = "/v2/groups",
    tag = "marathon",
    operation_id = "changeRootGroup",
    responses(Invalid)
)]
pub(super) async fn change_root() -> ApiError {
    let text = "groups are made by the pods in them: add a pod with this group in its id";
    ApiError::violation("/", text.to_owned())
}

/// Refused: groups are made by the pods in them.
#[utoipa::path(
    method(post, put),
    path = "/v2/groups/{id}",
    tag = "marathon",
    operation_id = "changeGroup",
    params(GroupParameter),
    responses(NotFound, Invalid)
)]
pub(super) async fn change_group(uri: Uri) -> Result<Response, ApiError> {
    group_id(uri.path())?;
    Err(change_root().await)
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
    fn document(&self, path: &str, pods: &[&Arc<PodView>]) -> Group {
        let name_in = |view: &PodView| view.record.id.as_str()[path.len() + 1..].to_owned();
        let mut groups = BTreeSet::new();
        let mut own = Vec::new();
        for view in pods {
            match name_in(view).split_once('/') {
                Some((group, _)) if self.embed.groups => {
                    groups.insert(format!("{path}/{group}"));
                }
                None if self.embed.pods => own.push(status::pod_status(view, self.now)),
                Some(_) | None => {}
            }
        }
        let version = pods.iter().map(|view| view.record.version).max();
        let groups = groups.iter();
        Group {
            id: if path.is_empty() { "/" } else { path }.to_owned(),
            apps: Nothing::default(),
            dependencies: Nothing::default(),
            pods: own,
            groups: groups
                .map(|group| self.document(group, &below(group, pods)))
                .collect(),
            version: version.unwrap_or(self.unchanged),
            enforce_role: false,
        }
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
