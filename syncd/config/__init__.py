"""The configuration: what a feed is, read once and validated where it is read.

`configuration.load` reads the file and the secrets; nothing else reads the environment.
"""
