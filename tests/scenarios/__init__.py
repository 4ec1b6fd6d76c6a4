"""What users say, and what an assistant needs for it: calls and tokens, measured.

`python -m tests.scenarios` plays all of them and writes docs/scenarios.md.
"""
