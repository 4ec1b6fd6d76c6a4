"""Rover MCP: hand long coding tasks to background agents and get reviewable branches back.

Importing this package imports nothing else: the launcher's start-up time is a budget.
"""

__version__ = "0.1.0"
