"""Git on the host: inspecting a user's repository, the hub, delivery and diffs.

No repository that an agent can write is ever opened here: its configuration, hooks, attributes and
alternates are ways to run a program. What leaves a sandbox is a bundle, a file that is checked.
"""
