"""What may be asked of OpenAI's Responses and Chat APIs by a task that may reach nothing else.
Pure; a table: see api_restriction.py.

https://platform.openai.com/docs/api-reference, and what codex, opencode, qwen and Copilot send.
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
    text,
    text_or,
    typed,
)

_DATA_URL = text(r"data:.*")
_NO = only(False, None)
_TEXT = fields(plains("type text"))
_REFUSAL = fields(plains("type refusal"))
_AUDIO = fields({"type": plain, "input_audio": fields(plains("data format"))})
_FUNCTION: dict[str, Shape] = {
    **plains("type name description strict defer_loading"),
    "parameters": anything,
    "output_schema": anything,
    "format": anything,
}
_COMMON: dict[str, Shape] = {
    **plains("model parallel_tool_calls prompt_cache_key prompt_cache_retention service_tier user"),
    **plains("safety_identifier stream temperature top_p top_logprobs verbosity"),
    "metadata": flat,
    "stream_options": flat,
    # What the provider keeps can be called up again by whoever knows its name.
    "store": _NO,
}

# Responses

_PARTS = text_or(
    each(
        typed(
            {
                "input_text": _TEXT,
                "reasoning_text": _TEXT,
                "summary_text": _TEXT,
                "text": _TEXT,
                "output_text": fields(
                    {**plains("type text"), "annotations": anything, "logprobs": anything}
                ),
                "refusal": _REFUSAL,
                "encrypted_content": fields(plains("type encrypted_content")),
                "input_image": fields(
                    {**plains("type detail"), "image_url": _DATA_URL, "file_id": only(None)}
                ),
                "input_file": fields(plains("type file_data filename detail")),
                "input_audio": _AUDIO,
            }
        )
    )
)
_TOOLS: dict[str, Shape] = {}
_TOOL_LIST = each(typed(_TOOLS))
_TOOLS.update(
    {
        "function": fields(_FUNCTION),
        "custom": fields(_FUNCTION),
        "namespace": fields({**_FUNCTION, "tools": _TOOL_LIST}),
        # These are the agent's own, in the sandbox.
        "local_shell": fields({"type": plain}),
        "apply_patch": fields({"type": plain}),
        "tool_search": fields({**_FUNCTION, "execution": only("client")}),
    }
)
_ITEM = plains("type id call_id name namespace status role")
_OUTPUT = fields({**_ITEM, "output": _PARTS})
_ENCRYPTED = fields({**_ITEM, "encrypted_content": plain})
_ITEMS = typed(
    {
        "message": fields({**_ITEM, "content": _PARTS, "phase": plain}),
        "agent_message": fields({**_ITEM, "content": _PARTS, **plains("author recipient")}),
        "function_call": fields({**_ITEM, "arguments": plain}),
        "function_call_output": _OUTPUT,
        "custom_tool_call": fields({**_ITEM, "input": plain}),
        "custom_tool_call_output": _OUTPUT,
        "reasoning": fields(
            {**_ITEM, "encrypted_content": plain, "summary": _PARTS, "content": _PARTS}
        ),
        "local_shell_call": fields({**_ITEM, "action": anything}),
        "local_shell_call_output": _OUTPUT,
        "apply_patch_call": fields({**_ITEM, "operation": anything}),
        "apply_patch_call_output": _OUTPUT,
        "tool_search_call": fields({**_ITEM, "arguments": anything, "execution": only("client")}),
        "tool_search_output": fields({**_ITEM, "tools": _TOOL_LIST, "execution": only("client")}),
        "additional_tools": fields({**_ITEM, "tools": _TOOL_LIST}),
        "compaction": _ENCRYPTED,
        "compaction_summary": _ENCRYPTED,
        "compaction_trigger": fields(_ITEM),
        "context_compaction": _ENCRYPTED,
    },
    default="message",
)
_CHOICE = fields(plains("type name"))
RESPONSES = fields(
    {
        **_COMMON,
        **plains("include instructions max_output_tokens max_tool_calls truncation"),
        "background": _NO,
        "client_metadata": flat,
        "context_management": each(flat),
        "input": text_or(each(_ITEMS)),
        "previous_response_id": only(None),
        "reasoning": flat,
        "text": fields({"verbosity": plain, "format": anything}),
        "tool_choice": text_or(typed({"function": _CHOICE, "custom": _CHOICE})),
        "tools": _TOOL_LIST,
    }
)

# Chat, which others speak, too

_IMAGE = fields({"url": _DATA_URL, "detail": plain})
_CHAT_PARTS = text_or(
    each(
        typed(
            {
                "text": fields({**plains("type text"), "cache_control": flat}),
                "refusal": _REFUSAL,
                "image_url": fields({"type": plain, "image_url": _IMAGE, "cache_control": flat}),
                "input_audio": _AUDIO,
                "file": fields({"type": plain, "file": fields(plains("file_data filename"))}),
            }
        )
    )
)
_CALLED = fields(plains("name arguments input"))
_CALL = fields(
    {**plains("id type index"), "function": _CALLED, "custom": _CALLED, "extra_content": anything}
)
_CHAT_MESSAGE = fields(
    {
        **plains("role name tool_call_id refusal reasoning_content reasoning"),
        "reasoning_details": anything,
        "content": _CHAT_PARTS,
        "tool_calls": each(_CALL),
    }
)
_CHAT_TOOLS = typed(
    {
        "function": fields({"type": plain, "function": fields(_FUNCTION), "cache_control": flat}),
        "custom": fields({"type": plain, "custom": fields(_FUNCTION)}),
    }
)
CHAT = fields(
    {
        **_COMMON,
        **plains("max_tokens max_completion_tokens n stop seed logprobs reasoning_effort"),
        **plains("presence_penalty frequency_penalty repetition_penalty top_k min_p"),
        **plains("enable_thinking thinking_budget preserve_thinking vl_high_resolution_images"),
        "messages": each(_CHAT_MESSAGE),
        "tools": each(_CHAT_TOOLS),
        "tool_choice": text_or(fields({"type": plain, "function": _CALLED, "custom": _CALLED})),
        "response_format": anything,
        "logit_bias": flat,
        "thinking": flat,
        "reasoning": flat,
    }
)
