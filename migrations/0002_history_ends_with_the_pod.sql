-- A pod's history ends with the pod: one that is added again under the same id is another one.

DELETE FROM terminations WHERE pod NOT IN (SELECT id FROM pods);

CREATE TRIGGER terminations_end_with_their_pod AFTER DELETE ON pods BEGIN
    DELETE FROM terminations WHERE pod = OLD.id;
END;
