"""What agents print in the notation of their own language."""

from __future__ import annotations

import pytest

from agent_runner.classify.literals import MOST, in_json


@pytest.mark.parametrize(
    ("printed", "plain"),
    [
        (
            "Error code: 429 - {'error': {'message': \"We're busy\", 'code': None}} (id=1)",
            'Error code: 429 - {"error": {"message": "We\'re busy", "code": null}} (id=1)',
        ),
        ("GroqException - b'{\"a\":\\n 1}'", 'GroqException - {"a":\n 1}'),
        ('message: Some("prompt is too long")', "message: prompt is too long"),
        (
            'Object {"message": String("over the \\"day\\" limit")}',
            'Object {message: over the "day" limit}',
        ),
    ],
)
def test_the_notations_of_other_languages_are_rewritten(printed: str, plain: str) -> None:
    assert in_json(printed) == plain


@pytest.mark.parametrize(
    "text",
    [
        "",
        '{"error": {"message": "as it is"}}',
        "{'error': 'never closed",
        "{'a': open('/etc/passwd')}",
        "{'a': " * 5000,
        "{'a': '" + "x" * MOST + "'}",
        "the web'site b'roke",
    ],
)
def test_what_is_no_literal_stays_as_it_is(text: str) -> None:
    assert in_json(text) == text
