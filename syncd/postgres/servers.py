"""The versions of PostgreSQL that syncd is tested on."""

OLDEST_SERVER = 15
NEWEST_SERVER = 18
