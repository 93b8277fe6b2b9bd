-- Makes the daemon's role the reader.

ALTER FUNCTION pg_temp.syncd_known_keys(text[]) OWNER TO {role};
ALTER FUNCTION pg_temp.syncd_newest_keys() OWNER TO {role};
