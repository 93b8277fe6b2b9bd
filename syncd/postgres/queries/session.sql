-- How each connection begins.

-- name: begin_session :one
-- Sets the session's settings that the server has, and waits for the disk where the
-- server does not; returns the server's process, to detect a pooler. It may run as a
-- superuser, under a foreign search path: each name has its schema.
SELECT pg_catalog.pg_backend_pid()
  FROM (SELECT pg_catalog.count(pg_catalog.set_config(
                   (%(names)s::pg_catalog.text[])[n],
                   (%(values)s::pg_catalog.text[])[n], false))
          FROM pg_catalog.generate_subscripts(%(names)s::pg_catalog.text[], 1) AS n
         WHERE pg_catalog.current_setting((%(names)s::pg_catalog.text[])[n], true)
               IS NOT NULL
       ) AS given,
       (SELECT pg_catalog.count(
                   pg_catalog.set_config('synchronous_commit', 'local', false))
         WHERE pg_catalog.current_setting('synchronous_commit')
               OPERATOR(pg_catalog.=) 'off') AS durable;

-- name: be_patient :one
-- Lets the statements of this transaction take longer; plans expect all rows to be read.
SELECT set_config('statement_timeout', %(limit)s, true),
       set_config('idle_in_transaction_session_timeout', %(limit)s, true),
       set_config('cursor_tuple_fraction', '1', true);

-- name: discard_plans :none
DISCARD PLANS;
