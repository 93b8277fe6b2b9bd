"""How a feed stands: read, judged by `core.health`, and shown to people and scripts."""
