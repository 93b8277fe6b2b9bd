"""Backfill: past orders, asked for by resetting the watermark or naming a range."""
