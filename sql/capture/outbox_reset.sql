-- Resets the count of changes that could not be recorded; no trigger waits for it.

SELECT setval('syncd.outbox_fault', 1, false);
