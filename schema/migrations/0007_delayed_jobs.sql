-- How many reasons to wait were noted of the job of a step.
ALTER TABLE step ADD COLUMN delays INTEGER NOT NULL DEFAULT 0;
