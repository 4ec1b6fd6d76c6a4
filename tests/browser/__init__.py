"""Rover's pages in a real browser."""
