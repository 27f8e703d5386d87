//! Definitions and instances for the unit tests.

use std::sync::Arc;

use model::{
    id::InstanceId,
    pod::PodDefinition,
    record::InstanceRecord,
    state::{Condition, Goal},
    time::Timestamp,
};
use uuid::Uuid;

use crate::instance::Instance;

/// Reads a definition.
pub(crate) fn definition(json: &str) -> PodDefinition {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error} in {json}"))
}

/// An instance of `/p` without any task.
pub(crate) fn instance(
    uuid: u128,
    condition: Condition,
    run_open: bool,
    active_since: Option<i64>,
) -> Instance {
    let definition =
        definition(r#"{"id":"/p","containers":[{"name":"c","resources":{"cpus":0.1,"mem":32}}]}"#);
    let record = InstanceRecord {
        id: InstanceId::new(&definition.id, Uuid::from_u128(uuid)),
        pod: definition.id.clone(),
        version: Timestamp::from_millis(0),
        incarnation: u32::from(run_open),
        run_open,
        goal: Goal::Running,
        condition,
        since: Timestamp::from_millis(0),
        active_since: active_since.map(Timestamp::from_millis),
        created_at: Timestamp::from_millis(0),
        host_ports: Vec::new(),
    };
    Instance {
        record,
        definition: Arc::new(definition),
        tasks: Vec::new(),
        applied: 0,
        kill_sent: None,
    }
}
