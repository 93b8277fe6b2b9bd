-- Counts the changes that could not be noted from 0 again; no trigger waits for it.

SELECT setval('syncd.outbox_fault', 1, false);
