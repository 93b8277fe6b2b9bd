"""What is known of PostgreSQL beyond a connection."""
