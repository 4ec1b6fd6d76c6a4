"""`.rover/config.yaml`: what a repository says of its own tasks. It may close, hardly ever open."""
