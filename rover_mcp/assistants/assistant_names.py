"""The names of the assistants that `rover setup` knows; the details are in known.py."""

CLIENT_NAMES = (
    "claude", "codex", "gemini", "opencode", "qwen", "copilot", "vscode", "cursor",
    "claude-desktop",
)  # fmt: skip
