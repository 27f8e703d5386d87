-- The versions of pods that were removed are kept for the last of them only: this says which those are.

CREATE TABLE removed_pods (
    pod TEXT NOT NULL PRIMARY KEY,
    removed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- When earlier ones were removed nobody knows; not before their last version was made.
INSERT INTO removed_pods (pod, removed_at)
    SELECT pod, max(version) FROM pod_versions WHERE pod NOT IN (SELECT id FROM pods) GROUP BY pod;
