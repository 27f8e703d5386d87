//! Pods to add, and what is seen of them.

use model::{id::InstanceId, status::PodStatus};
use scheduler::{Accepted, Request, status};

use crate::world::{World, definition};

/// A pod of `instances`, each with containers `a` and `b` of 0.1 cpus; `extra` goes into container `a`.
pub(crate) fn two(pod: &str, instances: u32, extra: &str) -> String {
    format!(
        r#"{{"id":"{pod}","scaling":{{"kind":"fixed","instances":{instances}}},"networks":[{{"mode":"host"}}],
            "containers":[{{"name":"a","resources":{{"cpus":0.1,"mem":32}}{extra}}},
            {{"name":"b","resources":{{"cpus":0.1,"mem":32}}}}]}}"#
    )
}

/// A pod of one container.
pub(crate) fn one(pod: &str, instances: u32, cpus: &str, endpoint: &str) -> String {
    format!(
        r#"{{"id":"{pod}","scaling":{{"kind":"fixed","instances":{instances}}},"networks":[{{"mode":"host"}}],
            "containers":[{{"name":"a","resources":{{"cpus":{cpus},"mem":32}},"endpoints":[{endpoint}]}}]}}"#
    )
}

pub(crate) fn add(world: &mut World, json: &str) -> Accepted {
    world
        .request(Request::AddPod {
            definition: definition(json),
            force: false,
        })
        .unwrap()
}

pub(crate) fn shown(world: &World, pod: &str) -> PodStatus {
    status::pod_status(&world.view(pod), world.now)
}

pub(crate) fn ids(world: &World, pod: &str) -> Vec<InstanceId> {
    world
        .view(pod)
        .instances
        .iter()
        .map(|instance| instance.record.id.clone())
        .collect()
}

pub(crate) fn incarnations(world: &World, pod: &str) -> Vec<u32> {
    world
        .view(pod)
        .instances
        .iter()
        .map(|instance| instance.record.incarnation)
        .collect()
}
