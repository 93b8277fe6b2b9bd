"""Capture by logical decoding: a slot, a publication and the stream of changes."""
