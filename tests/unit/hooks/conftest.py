from tests.unit.server.conftest import desk

__all__ = ["desk"]
