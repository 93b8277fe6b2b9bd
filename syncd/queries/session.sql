-- How each connection begins.

-- name: begin_session :one
-- Sets the session's settings, those that the server knows, and waits for the disk where
-- the server does not; gives the server's process, to tell a pooler's by.
SELECT pg_backend_pid()
  FROM (SELECT count(set_config(s.name, s.value, false))
          FROM (SELECT g.name, g.value
                  FROM unnest(%(names)s::text[], %(values)s::text[]) AS g (name, value)
                 WHERE current_setting(g.name, true) IS NOT NULL
                 UNION ALL
                SELECT 'synchronous_commit', 'local'
                 WHERE current_setting('synchronous_commit') = 'off')
               AS s (name, value)) AS done;

-- name: discard_plans :none
DISCARD PLANS;
