-- What is paused, what was pruned, and what is to be forgotten.

COMMENT ON TABLE syncd.feed IS 'one shop''s confirmed orders on their way to one account';
