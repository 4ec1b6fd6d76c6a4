"""Git on the host: inspecting a user's repository, the hub, delivery and diffs (DESIGN.md 8).

No repository that an agent can write is ever opened here: what leaves a sandbox is a bundle,
which is a file to be checked.
"""
