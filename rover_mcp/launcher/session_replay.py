"""Keeps what is needed of a client's conversation to carry it over to another daemon.

Pure bookkeeping over JSON-RPC frames, without I/O: which requests are unanswered, and what the
client opened its session with. Standard library only. The opening is, of the era of 2025-11-25:
`initialize`, `notifications/initialized`, `logging/setLevel`, `resources/subscribe`; of 2026-07-28:
`subscriptions/listen` requests that are still open.
"""

from __future__ import annotations

import json
from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, cast

    Message = dict[str, Any]
else:

    def cast(_type: object, value: object) -> object:
        return value


LOST_REQUEST = -32603
TOO_LARGE = -32600
MAX_TRACKED = 10_000
FRAME_LIMIT = 64 * 1024 * 1024
_REPLAY = "rover-replay-"
# How the daemon's SDK begins a response; anything else is parsed in full.
_HEAD = b'{"jsonrpc":"2.0","id":'
_HEAD_SIZE = 300
_REPEATED_AS_IT_IS = {
    "initialize",
    "logging/setLevel",
    "resources/subscribe",
    "resources/unsubscribe",
    "subscriptions/listen",
}


def parse(frame: bytes) -> Message | None:
    """The message in a frame; None if it is not one (the daemon then answers with an error)."""
    try:
        message = json.loads(frame)
    except (ValueError, RecursionError):
        return None
    return cast("Message", message) if isinstance(message, dict) else None


def encode(message: Message) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def error_answer(request_id: object, code: int, message: str, hint: str = "") -> bytes:
    error: Message = {"code": code, "message": f"{message}. {hint}" if hint else message}
    return encode({"jsonrpc": "2.0", "id": request_id, "error": error})


def request_key(message: Message) -> str | None:
    """A request's or response's id as a key (1 and "1" differ), or None for a notification."""
    value = message.get("id")
    return json.dumps(value) if isinstance(value, int | str) else None


class Request:
    """A request that the daemon has and has not answered."""

    __slots__ = ("acknowledged", "frame", "id", "method", "uri")

    def __init__(self, message: Message, frame: bytes) -> None:
        self.id: object = message["id"]
        self.method: str = message["method"]
        self.uri = _uri(message)
        self.frame = frame if self.method in _REPEATED_AS_IT_IS else b""
        self.acknowledged = False


class Frames:
    """Cuts a stream into lines. A line longer than `limit` is dropped, and `overflowed` reports
    it."""

    def __init__(self, limit: int = FRAME_LIMIT) -> None:
        self._limit = limit
        self._partial = bytearray()
        self._dropping = False
        self.overflowed = False

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes, each with its newline; blank ones are left out."""
        head, newline, rest = data.rpartition(b"\n")
        lines: list[bytes] = []
        if newline:
            lines = (bytes(self._partial) + head).split(b"\n")
            self._partial.clear()
            if self._dropping:
                del lines[0]
                self._dropping = False
        if not self._dropping:
            self._partial += rest
        if len(self._partial) > self._limit:
            self._partial.clear()
            self._dropping = self.overflowed = True
        return [line + b"\n" for line in lines if line.strip()]


class Conversation:
    """One client's session. `first` is what the daemon must get before anything else, and
    while `gated` is true nothing else may be sent."""

    def __init__(self) -> None:
        self.first: deque[bytes] = deque()
        self._gate: str | None = None
        self._unanswered: dict[str, Request] = {}
        self._daemon_requests: dict[str, object] = {}
        self._initialize: bytes | None = None
        self._initialized: bytes | None = None
        self._level: bytes | None = None
        self._subscribed: dict[str, bytes] = {}
        self._swallowed: set[str] = set()
        self._replays = 0

    @property
    def gated(self) -> bool:
        return self._gate is not None

    def sent(self, frame: bytes) -> None:
        """Note a frame of the client's that the daemon now has."""
        message = parse(frame)
        if message is None:
            return
        method, key = message.get("method"), request_key(message)
        if not isinstance(method, str):
            if key is not None:
                self._daemon_requests.pop(key, None)
        elif key is not None:
            if len(self._unanswered) < MAX_TRACKED:
                self._unanswered[key] = Request(message, frame)
        elif method == "notifications/initialized":
            self._initialized = frame
        elif method == "notifications/cancelled":
            cancelled = part(message, "params").get("requestId")
            self._unanswered.pop(json.dumps(cancelled), None)

    def opened(self, frame: bytes) -> None:
        """The client's `initialize` has been answered for the daemon, which gets it later."""
        self._initialize = frame

    def received(self, frame: bytes) -> bytes | None:
        """Note a frame of the daemon's, and return what the client gets of it; None: nothing."""
        if not self._unanswered and not self._swallowed:
            return frame
        if head := _response_head(frame):
            return self._answered(head[0], head[1], frame)
        message = parse(frame)
        if message is None:
            return frame
        key = request_key(message)
        if "method" not in message:
            return frame if key is None else self._answered(key, "result" in message, frame)
        if key is not None:
            self._daemon_requests[key] = message["id"]
        elif message["method"] == "notifications/subscriptions/acknowledged":
            return self._acknowledged(message, frame)
        return frame

    def lost(self) -> list[bytes]:
        """Note that the daemon is gone. Returns the frames for the client, and keeps the
        opening."""
        frames = [
            encode(
                {
                    "jsonrpc": "2.0",
                    "method": "notifications/cancelled",
                    "params": {"requestId": pending, "reason": "the daemon was restarted"},
                }
            )
            for pending in self._daemon_requests.values()
        ]
        self._daemon_requests.clear()
        for key, request in list(self._unanswered.items()):
            if not request.frame:
                del self._unanswered[key]
                frames.append(
                    error_answer(
                        request.id,
                        LOST_REQUEST,
                        "the Rover daemon was restarted before it answered",
                        "No task is lost: repeat the call (create_task with the same "
                        "request_key makes no second task)",
                    )
                )
        self.first.clear()
        self._swallowed.clear()
        self._gate = None
        return frames

    def reopen(self) -> None:
        """Fill `first` for a new daemon."""
        for key, request in self._unanswered.items():
            if request.method == "initialize":
                self._gate = key
                self.first.append(request.frame)
                return
        if self._initialize is None:
            self._open_rest()
        else:
            self._gate = self._replay(self._initialize)

    def abandon(self, message: str, hint: str) -> list[bytes]:
        """Answer all open requests with an error, because no daemon can be reached."""
        answers = [
            error_answer(request.id, LOST_REQUEST, message, hint)
            for request in self._unanswered.values()
        ]
        self._unanswered.clear()
        return answers

    def refused(self, frame: bytes, message: str, hint: str) -> bytes | None:
        """The error that answers this frame, if it is a request, because no daemon can be
        reached."""
        content = parse(frame)
        if content is None or not isinstance(content.get("method"), str):
            return None
        if request_key(content) is not None:
            return error_answer(content["id"], LOST_REQUEST, message, hint)
        self.sent(frame)  # what it opens or cancels counts for the next daemon
        return None

    def _answered(self, key: str, succeeded: bool, frame: bytes) -> bytes | None:
        request = self._unanswered.pop(key, None)
        if request is not None and succeeded:
            self._remember(request)
        if key == self._gate:
            self._gate = None
            self._open_rest()
        if key in self._swallowed:
            self._swallowed.discard(key)
            return None
        return frame

    def _remember(self, request: Request) -> None:
        if request.method == "initialize":
            self._initialize = request.frame
        elif request.method == "logging/setLevel":
            self._level = request.frame
        elif request.method == "resources/subscribe" and len(self._subscribed) < MAX_TRACKED:
            self._subscribed[request.uri] = request.frame
        elif request.method == "resources/unsubscribe":
            self._subscribed.pop(request.uri, None)

    def _acknowledged(self, message: Message, frame: bytes) -> bytes | None:
        meta = part(part(message, "params"), "_meta")
        listen = meta.get("io.modelcontextprotocol/subscriptionId")
        request = self._unanswered.get(json.dumps(listen))
        if request is None or not request.acknowledged:
            if request is not None:
                request.acknowledged = True
            return frame
        return None

    def _open_rest(self) -> None:
        if self._initialize is not None and self._initialized is not None:
            self.first.append(self._initialized)
        for frame in filter(None, (self._level, *self._subscribed.values())):
            self._replay(frame)
        self.first.extend(
            request.frame
            for request in self._unanswered.values()
            if request.frame and request.method != "initialize"
        )

    def _replay(self, frame: bytes) -> str:
        """Send a request again under an id of the launcher's own; its answer is not for the
        client."""
        self._replays += 1
        message = {**(parse(frame) or {}), "id": f"{_REPLAY}{self._replays}"}
        key = json.dumps(message["id"])
        self._swallowed.add(key)
        self.first.append(encode(message))
        return key


def _response_head(frame: bytes) -> tuple[str, bool] | None:
    """The key of a response and whether it is a result, by its first bytes: a response may be
    long, and no more of it is of interest. None: it has to be parsed."""
    if not frame.startswith(_HEAD):
        return None
    key, comma, rest = frame[len(_HEAD) : _HEAD_SIZE].partition(b',"')
    if not comma or not rest.startswith((b'result":', b'error":')) or not key.isascii():
        return None
    # A text with escapes may be written in several ways.
    return None if b"\\" in key else (key.decode(), rest.startswith(b"result"))


def part(message: Message, name: str) -> Message:
    """An object in a message, `params` or `_meta`; empty if it has none."""
    value = message.get(name)
    return cast("Message", value) if isinstance(value, dict) else {}


def _uri(message: Message) -> str:
    return str(part(message, "params").get("uri"))
