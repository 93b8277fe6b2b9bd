"""The running program: its threads, from the start to the end of a process.

`process.Daemon` starts, reloads and stops; `pipeline.Pipeline` lives from one
configuration to the next; `opening` finds the feed, and `build` makes the components.
"""
