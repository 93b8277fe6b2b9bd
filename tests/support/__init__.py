"""What the tests are made with: servers, a shop, the API, commands, readers."""
