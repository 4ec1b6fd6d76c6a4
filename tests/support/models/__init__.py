"""The parts of tests/support/fake_models.py: turns, errors, and one module per API."""
