"""Generators of documentation. They are not installed."""
