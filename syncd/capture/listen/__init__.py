"""Capture by triggers: the shop's tables write an outbox, NOTIFY announces it."""
