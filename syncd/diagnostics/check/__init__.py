"""What `syncd check` checks."""
