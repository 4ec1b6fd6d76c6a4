"""What a repository is made of, for a first `.rover/config.yaml`, and the programs that it
needs."""
