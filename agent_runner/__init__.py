"""The program inside the sandbox: runs a workflow, keeps its journal, pauses and resumes.

It knows nothing of MCP, engines or the daemon, and imports nothing of `rover_mcp`.
"""
