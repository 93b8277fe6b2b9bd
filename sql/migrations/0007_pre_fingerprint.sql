-- What the last events looked like, field by field, without their values.

COMMENT ON TABLE syncd.attempt IS 'one POST of a batch and its receipt';
