"""Decides what a provider's error means: the reason for a pause, and when it ends. Pure.

Only fields that carry errors are read, the gateway's before the agent's: an agent that edits code
about rate limits must not be paused for its own words. Start at `verdict`; `failure_facts` reads a
failure, `rules` is the table that decides, `reset` finds the time. Each message that was observed
is a file in tests/data/limits with the expected reason in its name; docs/limits.md shows them.
"""
