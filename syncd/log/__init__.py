"""The log: one line of JSON for each event of the catalogue, without personal data.

`log.Log` emits, `events` and `fields` declare, `render` writes a line.
"""
