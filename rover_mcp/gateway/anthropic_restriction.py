"""What may be asked of Anthropic's Messages API by a task that may reach nothing else. Pure; a
table: see api_restriction.py.

https://docs.claude.com/en/api/messages, and what Claude Code, opencode and Copilot send.
"""

from __future__ import annotations

from rover_mcp.gateway.json_shapes import (
    Shape,
    anything,
    each,
    fields,
    flat,
    only,
    plain,
    plains,
    text_or,
    typed,
)

_CACHE: dict[str, Shape] = {"type": plain, "cache_control": flat}
_BLOCKS: dict[str, Shape] = {}
_TEXT = text_or(each(typed(_BLOCKS)))
_SOURCE = typed(
    {
        "base64": fields(plains("type media_type data")),
        "text": fields(plains("type media_type data")),
        "content": fields({"type": plain, "content": _TEXT}),
    }
)
_REFERENCE = fields({**_CACHE, "tool_name": plain, "name": plain})
_DOCUMENT = {"source": _SOURCE, "title": plain, "context": plain, "citations": flat}
_BLOCKS.update(
    {
        "text": fields({**_CACHE, "text": plain, "citations": anything}),
        "image": fields({**_CACHE, "source": _SOURCE}),
        "document": fields({**_CACHE, **_DOCUMENT}),
        "search_result": fields(
            {**_CACHE, "source": plain, "title": plain, "content": _TEXT} | {"citations": flat}
        ),
        "thinking": fields({**_CACHE, "thinking": plain, "signature": plain}),
        "redacted_thinking": fields({**_CACHE, "data": plain}),
        "tool_use": fields(
            {**_CACHE, "id": plain, "name": plain, "input": anything, "caller": flat}
        ),
        "tool_result": fields(
            {**_CACHE, "tool_use_id": plain, "content": _TEXT, "is_error": plain}
        ),
        "tool_reference": _REFERENCE,
        "fallback": fields({"type": plain, "from": flat, "to": flat}),
        "compaction": fields({**_CACHE, "content": _TEXT, "encrypted_content": plain}),
    }
)
_OWN_TOOL = fields(
    {
        **_CACHE,
        **plains("name description strict defer_loading eager_input_streaming"),
        "input_schema": anything,
        "input_examples": anything,
        "allowed_callers": each(only("direct")),
    }
)
# Tools can be added in the middle of a conversation, too.
_TOOLS = each(typed({"custom": _OWN_TOOL}, default="custom"))
_ADDED = {
    "tool_reference": _REFERENCE,
    "tool_definition": fields(
        {"type": plain, "definition": typed({"custom": _OWN_TOOL}, default="custom")}
    ),
}
_BLOCKS.update(
    {name: fields({**_CACHE, "tool": typed(_ADDED)}) for name in ("tool_addition", "tool_removal")}
)
MESSAGES = fields(
    {
        **plains("model max_tokens stop_sequences stream temperature top_k top_p service_tier"),
        **plains("speed inference_geo program_use_case_id"),
        "messages": each(
            fields(
                {"role": plain, "content": _TEXT}
                | dict.fromkeys(("output_config", "timing", "clear_at"), flat)
            )
        ),
        "system": _TEXT,
        "tools": _TOOLS,
        "tool_choice": flat,
        "metadata": flat,
        "thinking": flat,
        "cache_control": flat,
        "context_management": fields({"edits": each(anything)}),
        "output_config": fields(
            {"effort": plain, "format": anything, "task_budget": flat, "verbosity": plain}
        ),
        "output_format": anything,
        "fallbacks": each(flat),
        "request_tags": flat,
        "diagnostics": flat,
    }
)
