-- How each connection begins.

-- name: begin_session :one
-- Sets the session's settings; gives the server's process, to tell a pooler's by.
SELECT pg_backend_pid()
  FROM (SELECT count(set_config(s.name, s.value, false))
          FROM unnest(%(names)s::text[], %(values)s::text[]) AS s (name, value)) AS done;

-- name: discard_plans :none
DISCARD PLANS;
