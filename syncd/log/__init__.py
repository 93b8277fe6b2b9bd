"""The log: one line of JSON for each event of the catalogue, without personal data.

`log.Log` emits, `events.toml` declares, `render` writes a line.
"""
