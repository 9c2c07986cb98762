-- What repairing a study needs: held and skipped steps, and the step because of which one ended.
ALTER TABLE step ADD COLUMN held INTEGER NOT NULL DEFAULT 0;
ALTER TABLE step ADD COLUMN skipped INTEGER NOT NULL DEFAULT 0;
ALTER TABLE step ADD COLUMN blocker INTEGER;

DROP INDEX step_ready;
CREATE INDEX step_ready ON step (scheduled, number) WHERE phase = 1 AND held = 0;
CREATE INDEX step_held ON step (number) WHERE held = 1;
