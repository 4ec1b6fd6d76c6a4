"""A provider's error to a pause reason (DESIGN 7). Pure.

Only fields that carry errors are read: what the gateway saw first, then what the agent's own
structured fields say. `verdict` is where one begins: `failure_facts` reads a failure, `rules` is
the table that decides, `reset` finds the time. Each message that was observed is a file in
tests/data/limits with the expected reason in its name; docs/limits.md shows them.
"""
