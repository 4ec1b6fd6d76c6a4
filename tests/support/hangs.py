"""How long a test waits for what has to come: a limit that only ends a hang."""

from __future__ import annotations

HANG_SECONDS = 600.0
"""Much longer than anything takes that is waited for, also on two cores that are shared with twenty
other busy processes. A test that has to tell quick from slow needs an injected clock or an order of
events: a limit in seconds would measure the machine."""
