"""What may be asked of Google's Gemini API by a task that may reach nothing else. Pure; a
table: see api_restriction.py.

https://ai.google.dev/api/generate-content, and what Gemini CLI and opencode send. Each field has
two spellings.
"""

from __future__ import annotations

from collections.abc import Mapping

from rover_mcp.gateway.json_shapes import (
    Shape,
    anything,
    each,
    fields,
    flat,
    plain,
    plains,
)


def _camel(name: str) -> str:
    return name.replace("_", "").lower()


def _google(known: Mapping[str, Shape]) -> Shape:
    return fields({_camel(name): shape for name, shape in known.items()}, _camel)


_INLINE = _google({"mimeType": plain, "data": plain, "displayName": plain})
_PART = _google(
    {
        "text": plain,
        "thought": plain,
        "thoughtSignature": plain,
        "inlineData": _INLINE,
        "functionCall": _google({"id": plain, "name": plain, "args": anything}),
        "functionResponse": _google(
            {
                **plains("id name willContinue scheduling"),
                "response": anything,
                "parts": each(_google({"inlineData": _INLINE})),
            }
        ),
        "videoMetadata": flat,
        "mediaResolution": flat,
    }
)
_CONTENT = _google({"role": plain, "parts": each(_PART)})
_GENERATE: dict[str, Shape] = {
    "model": plain,
    "contents": each(_CONTENT),
    "systemInstruction": _CONTENT,
    "tools": each(_google({"functionDeclarations": each(anything)})),
    "toolConfig": _google({"functionCallingConfig": flat}),
    "safetySettings": each(flat),
    "generationConfig": _google(
        {
            **plains("temperature topP topK candidateCount maxOutputTokens seed stopSequences"),
            **plains("responseMimeType responseModalities mediaResolution logprobs"),
            **plains("presencePenalty frequencyPenalty responseLogprobs"),
            "responseSchema": anything,
            "responseJsonSchema": anything,
            "thinkingConfig": flat,
        }
    ),
}
GENERATE = _google({**_GENERATE, "generateContentRequest": _google(_GENERATE)})
