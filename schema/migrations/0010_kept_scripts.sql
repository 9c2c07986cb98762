-- Whether the script of a step runs as it stands in the workspace, because a person has edited it and said so.
ALTER TABLE step ADD COLUMN keep_script INTEGER NOT NULL DEFAULT 0;
