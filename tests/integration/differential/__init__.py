"""The same edits by hand, with plain git, and through a task: the same tree and the same diff."""
