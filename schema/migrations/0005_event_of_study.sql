-- The few events about the whole study, by type: who paused or cancelled it, when a scheduler fell silent.
CREATE INDEX event_of_study ON event (type) WHERE step IS NULL;
