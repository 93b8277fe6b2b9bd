-- Drops the publication that `syncd install --wal` made.

DROP PUBLICATION IF EXISTS {publication};
