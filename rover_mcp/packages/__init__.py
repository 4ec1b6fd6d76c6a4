"""What package managers have fetched, kept for the next task of the project (docs/packages.md)."""
