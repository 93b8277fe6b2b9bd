"""What `syncd install` puts into databases, and takes out again."""
