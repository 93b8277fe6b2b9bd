"""Sends every confirmed order of a PostgreSQL shop to Squeezely, and proves it."""

__version__ = "0.1.0"
