"""Scripts for the scripted agent that tests share."""

from __future__ import annotations

import json
from typing import Any

from tests.support.repos import FIXED

CREDITS = {
    "provider": "anthropic",
    "status": 400,
    "type": "invalid_request_error",
    "message": (
        "Your credit balance is too low to access the Anthropic API. "
        "Please go to Plans & Billing to upgrade or purchase credits."
    ),
}


def script(**steps: list[dict[str, Any]]) -> str:
    """script.yaml; JSON is YAML."""
    return json.dumps({"steps": steps})


def fix_after_credits() -> str:
    """Plans, runs out of credits in the middle of the implementation, then finishes it."""
    return script(
        plan=[
            {
                "say": "planned",
                "outputs": {"plan": "fix add"},
                "edits": [{"path": "PLAN.md", "content": "fix add\n"}],
            }
        ],
        implement=[
            {
                "say": "half",
                "edits": [{"path": "notes.txt", "content": "half\n"}],
                "usage": {"input_tokens": 100, "output_tokens": 10, "cost_usd": 0.01},
                "error": CREDITS,
            },
            {
                "say": "done",
                "outputs": {"summary": "add adds"},
                "edits": [{"path": "calc.py", "content": FIXED}],
                "usage": {"input_tokens": 50, "output_tokens": 5, "cost_usd": 0.005},
            },
        ],
    )
