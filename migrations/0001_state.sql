-- The first schema. Times are milliseconds since 1970-01-01T00:00:00Z; uuids are lower-case hyphenated text.
-- Foreign keys are deferred: a turn's records come in the order in which they were decided, only their
-- sum must hold together.

-- 'mpod'. Tells a database of monopod from any other.
PRAGMA application_id = 1836085092;

-- Facts about this installation, such as the agent's id.
CREATE TABLE settings (
    key TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Definitions as JSON. They outlive their pod; a version that anything refers to cannot be deleted.
CREATE TABLE pod_versions (
    pod TEXT NOT NULL,
    version INTEGER NOT NULL,
    definition TEXT NOT NULL,
    PRIMARY KEY (pod, version)
) STRICT;

CREATE TABLE pods (
    id TEXT NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL,
    last_config_change INTEGER NOT NULL,
    removing INTEGER NOT NULL CHECK (removing IN (0, 1)),
    FOREIGN KEY (id, version) REFERENCES pod_versions (pod, version) DEFERRABLE INITIALLY DEFERRED
) STRICT, WITHOUT ROWID;

CREATE TABLE instances (
    uuid TEXT NOT NULL PRIMARY KEY,
    pod TEXT NOT NULL REFERENCES pods (id) DEFERRABLE INITIALLY DEFERRED,
    version INTEGER NOT NULL,
    incarnation INTEGER NOT NULL CHECK (incarnation >= 0),
    run_open INTEGER NOT NULL CHECK (run_open IN (0, 1)),
    goal TEXT NOT NULL CHECK (goal IN ('Running', 'Stopped', 'Decommissioned')),
    condition TEXT NOT NULL CHECK (condition IN (
        'Scheduled', 'Provisioned', 'Staging', 'Starting', 'Running', 'Killing',
        'Finished', 'Failed', 'Killed', 'Error', 'Gone', 'Dropped'
    )),
    since INTEGER NOT NULL,
    active_since INTEGER,
    created_at INTEGER NOT NULL,
    host_ports TEXT NOT NULL,
    FOREIGN KEY (pod, version) REFERENCES pod_versions (pod, version) DEFERRABLE INITIALLY DEFERRED
) STRICT, WITHOUT ROWID;

CREATE TABLE tasks (
    instance TEXT NOT NULL
        REFERENCES instances (uuid) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    incarnation INTEGER NOT NULL CHECK (incarnation >= 0),
    container TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN (
        'TASK_STAGING', 'TASK_STARTING', 'TASK_RUNNING', 'TASK_KILLING', 'TASK_FINISHED',
        'TASK_FAILED', 'TASK_KILLED', 'TASK_ERROR', 'TASK_GONE', 'TASK_DROPPED'
    )),
    since INTEGER NOT NULL,
    staged_at INTEGER NOT NULL,
    started_at INTEGER,
    reason TEXT,
    message TEXT NOT NULL,
    exit_code INTEGER,
    exit_signal INTEGER,
    healthy INTEGER CHECK (healthy IN (0, 1)),
    PRIMARY KEY (instance, incarnation, container),
    CHECK (exit_code IS NULL OR exit_signal IS NULL)
) STRICT, WITHOUT ROWID;

-- Steps are JSON: a list of lists of actions.
CREATE TABLE deployments (
    id TEXT NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL,
    pod TEXT NOT NULL,
    steps TEXT NOT NULL,
    current_step INTEGER NOT NULL CHECK (current_step >= 0),
    from_version INTEGER,
    to_version INTEGER,
    FOREIGN KEY (pod, from_version) REFERENCES pod_versions (pod, version) DEFERRABLE INITIALLY DEFERRED,
    FOREIGN KEY (pod, to_version) REFERENCES pod_versions (pod, version) DEFERRABLE INITIALLY DEFERRED
) STRICT, WITHOUT ROWID;

-- May outlive the version they are about, so they refer to nothing.
CREATE TABLE backoffs (
    pod TEXT NOT NULL,
    version INTEGER NOT NULL,
    delay_ms INTEGER NOT NULL CHECK (delay_ms >= 0),
    reference INTEGER NOT NULL,
    PRIMARY KEY (pod, version)
) STRICT, WITHOUT ROWID;

-- Containers are JSON. The sequence tells what came first.
CREATE TABLE terminations (
    sequence INTEGER PRIMARY KEY,
    pod TEXT NOT NULL,
    instance TEXT NOT NULL,
    incarnation INTEGER NOT NULL CHECK (incarnation >= 0),
    started_at INTEGER NOT NULL,
    terminated_at INTEGER NOT NULL,
    message TEXT NOT NULL,
    containers TEXT NOT NULL
) STRICT;

CREATE INDEX terminations_by_pod ON terminations (pod);

-- Rows may outlive their instance, until the run's journal is gone.
CREATE TABLE applied_updates (
    instance TEXT NOT NULL,
    incarnation INTEGER NOT NULL CHECK (incarnation >= 0),
    sequence INTEGER NOT NULL CHECK (sequence >= 0),
    PRIMARY KEY (instance, incarnation)
) STRICT, WITHOUT ROWID;
