"""The assistants that `rover setup` knows, by name; what it knows of them is in known.py."""

CLIENT_NAMES = (
    "claude", "codex", "gemini", "opencode", "qwen", "copilot", "vscode", "cursor",
    "claude-desktop",
)  # fmt: skip
