"""What `syncd check` looks at."""
