//! `…::logs`: what one container wrote to one stream, as plain text. Ours, not Marathon's.

use std::{path::PathBuf, sync::Arc};

use axum::{
    body::Body,
    http::{Uri, header},
    response::{IntoResponse, Response},
};
use model::id::{InstanceId, PodId, RunId};
use scheduler::PodView;
use serde::Deserialize;
use tokio_util::io::ReaderStream;
use utoipa::{IntoParams, ToSchema};

use super::{
    Api,
    error::ApiError,
    openapi::{
        answers::{Invalid, NotFound, OtherPath},
        parameters::PodParameter,
    },
    query::Query,
};
use crate::{handle::Handle, log_file::LogFiles};

/// Bytes of log that may wait for a slow reader; then the file is read no further.
const PIPE_BYTES: usize = 64 * 1024;

/// What of the log is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// The container; may be left out where there is one only.
    container: Option<String>,
    /// The instance's id; else the one that was launched last.
    instance: Option<String>,
    /// Which stream.
    #[serde(default)]
    #[param(inline)]
    stream: Stream,
    /// How many lines of what was written so far; else all.
    tail: Option<usize>,
    /// Whether to wait for more, until the run is over.
    #[serde(default)]
    follow: bool,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Stream {
    #[default]
    Stdout,
    Stderr,
}

impl Stream {
    fn file_name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// What a container wrote.
///
/// Also of an instance that the pod no longer has, until its sandbox is collected.
#[utoipa::path(
    get,
    path = "/v2/pods/{id}::logs",
    tag = "pods",
    operation_id = "readLog",
    params(PodParameter, Wanted),
    responses(
        (status = 200, description = "The text.", body = String, content_type = "text/plain"),
        NotFound, OtherPath, Invalid,
    ),
)]
pub(super) async fn read(api: &Api, pod: &PodId, uri: &Uri) -> Result<Response, ApiError> {
    let Query(query): Query<Wanted> = Query::of(uri)?;
    let snapshot = api.handle.snapshot();
    let view = snapshot.pods.get(pod);
    let (run, container) = match past(api, pod, view, &query) {
        Some(found) => found,
        None => {
            let view = view.ok_or_else(|| ApiError::PodUnknown { pod: pod.clone() })?;
            let container = container(view, query.container.as_deref())?;
            (run(view, query.instance.as_deref())?, container)
        }
    };
    let path = log_path(api, run, &container, query.stream);
    let files = LogFiles::open(path.clone(), query.tail)
        .await
        .map_err(|source| {
            let problem = format!("read {}: {source}", path.display());
            ApiError::LogUnknown { problem }
        })?;
    let (reader, mut writer) = tokio::io::duplex(PIPE_BYTES);
    let (handle, follow, pod) = (api.handle.clone(), query.follow, pod.clone());
    tokio::spawn(async move {
        let over = run_over(handle, pod, run);
        if let Err(error) = files.copy(&mut writer, follow, over).await {
            tracing::debug!(%error, "a reader of a log went away");
        }
    });
    let body = Body::from_stream(ReaderStream::new(reader));
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response())
}

/// The last run of an instance that the pod no longer has, if its sandbox was not collected yet. The pod itself may
/// be gone, or have other containers by now.
fn past(
    api: &Api,
    pod: &PodId,
    view: Option<&Arc<PodView>>,
    query: &Wanted,
) -> Option<(RunId, String)> {
    let id: InstanceId = query.instance.as_deref()?.parse().ok()?;
    let present = view.is_some_and(|view| view.instances.iter().any(|one| one.record.id == id));
    // A name of one part: it becomes part of a path.
    let container = query
        .container
        .as_ref()
        .filter(|name| !name.contains('/'))?;
    if present || container.starts_with('.') {
        return None;
    }
    let run = api.containerizer.latest_sandbox(id.uuid, pod.as_str())?;
    Some((run, container.clone()))
}

fn container(view: &Arc<PodView>, wanted: Option<&str>) -> Result<String, ApiError> {
    let names: Vec<_> = view
        .definition
        .containers
        .iter()
        .map(|c| c.name.as_str())
        .collect();
    match (wanted, names.as_slice()) {
        (Some(name), _) if names.contains(&name) => Ok(name.to_owned()),
        (None, [only]) => Ok((*only).to_owned()),
        (Some(name), _) => {
            let problem = format!(
                "the pod has no container '{name}', only {}",
                names.join(", ")
            );
            Err(ApiError::LogUnknown { problem })
        }
        (None, _) => {
            let problem = format!("say which container with ?container=: {}", names.join(", "));
            Err(ApiError::LogUnknown { problem })
        }
    }
}

/// The latest run of the instance asked for, or of the one that was launched last.
fn run(view: &PodView, wanted: Option<&str>) -> Result<RunId, ApiError> {
    let launched = view
        .instances
        .iter()
        .filter(|instance| instance.record.incarnation > 0);
    let chosen = match wanted {
        Some(text) => launched
            .clone()
            .find(|instance| instance.record.id.to_string() == text)
            .ok_or_else(|| ApiError::InstanceUnknown {
                instance: text.to_owned(),
            })?,
        None => launched
            .max_by_key(|instance| instance.record.since)
            .ok_or_else(|| ApiError::LogUnknown {
                problem: "no instance of the pod was launched yet".to_owned(),
            })?,
    };
    Ok(RunId {
        instance: chosen.record.id.uuid,
        incarnation: chosen.record.incarnation,
    })
}

fn log_path(api: &Api, run: RunId, container: &str, stream: Stream) -> PathBuf {
    let sandbox = runtime::layout::container_sandbox(&api.layout.sandbox(run), container);
    sandbox.join(stream.file_name())
}

/// Waits until no more can come: the run has ended.
async fn run_over(handle: Handle, pod: PodId, run: RunId) {
    handle
        .wait_until(|snapshot| {
            let open = snapshot.pods.get(&pod).is_some_and(|view| {
                view.instances.iter().any(|instance| {
                    let record = &instance.record;
                    record.run_open
                        && record.id.uuid == run.instance
                        && record.incarnation == run.incarnation
                })
            });
            !open
        })
        .await;
}
