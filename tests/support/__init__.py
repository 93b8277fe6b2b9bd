"""Test infrastructure: servers, a shop, the fake API, commands, readers of logs."""
