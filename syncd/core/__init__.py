"""Decisions without a database, HTTP, clock or environment."""
