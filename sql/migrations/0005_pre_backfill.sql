-- Backfills that the daemon drives: what they may send, and how they are steered.

COMMENT ON TABLE syncd.backfill IS 'a past range that somebody asked for';
