"""The table of rules for failures: the first rule that fits decides. Data.

The order, and why:
1. What no waiting changes: the request itself is over a limit.
2. What a single provider means by its own codes (profiles.py).
3. Codes and statuses with one meaning (402, `insufficient_quota`, `usage_limit_reached`, ...).
4. The words (meaning.py), before any other status: providers report an empty account or a closed
   window with 400, 401, 403, 429 and 500 alike.
5. The status: 429 is a plain rate limit, then 5xx and 408, then 401 and 403.
6. No status was reported (an error inside a stream, an agent that drops it): codes, including those
   of errors that waiting does not help, then text.
"""

from __future__ import annotations

from collections.abc import Sequence

from agent_runner.classify.failure_facts import FailureFacts
from agent_runner.classify.meaning import Meaning
from agent_runner.classify.profiles import profile_of
from agent_runner.classify.rule import (
    FIVE_HUNDREDS,
    Rule,
    codes,
    matches,
    statuses,
    texts,
    word,
)
from agent_runner.models import PauseReason


def is_about_the_request(facts: FailureFacts) -> bool:
    """Whether a refusal says that a smaller or another request would have been answered."""
    return Meaning.REQUEST in facts.meanings or matches(_ABOUT_THE_REQUEST, facts.text)


def rule_for(facts: FailureFacts) -> Rule | None:
    """The first rule that fits, the provider's own before the general ones; None: this error is
    not known."""
    profile = profile_of(facts)
    own = profile.rules if profile else ()
    return next((rule for rule in (*FIRST, *own, *RULES) if rule.fits(facts)), None)


SMALLER = (
    "waiting does not help: let the step read or write less at a time, choose another model, or "
    "have the account's limit for one request raised"
)

_RATE_LIMIT = texts(
    r"rate limit (?:reached|exceeded)",
    r"would exceed your (?:account|organization)'s rate limit",
    r"too many requests",
    word(r"resource_exhausted"),
    r"resource has been exhausted",
)
_OVERLOADED = texts(
    word(r"overloaded(?:_error)?") + r"(?! (?:function|method|operator|constructor))",
    r"model is at capacity",
    r"experiencing high demand",
    r"no capacity available",
    r"(?-i:\bUNAVAILABLE\b)",
    r"internal server error",
    r"\bserver error:",
    r"stream ended without a finish reason",
    r"failed to get response from the AI model",
    r"you can retry your request",
    r"server had an error",
    r"(?:bad gateway|gateway time-?out|service unavailable|(?<!resource )temporarily unavailable)",
    r"upstream connect error|no healthy upstream",
)
_NETWORK = texts(
    r"connection (?:dropped|refused|reset|error|aborted|was (?:closed|lost|reset)|closed before)",
    r"\bE(?:CONN(?:RESET|REFUSED|ABORTED)|PIPE|TIMEDOUT|HOSTUNREACH|NETUNREACH|NETDOWN)\b",
    r"\bUND_ERR_(?:SOCKET|(?:CONNECT|HEADERS|BODY)_TIMEOUT)\b",
    r"socket hang up|other side closed|premature close|broken pipe|unexpected eof",
    r"peer closed connection|server disconnected|remote end closed",
    r"error decoding response body|response body error",
    r"network (?:is unreachable|connection was lost|timeout)|no route to host",
    r"temporary failure in name resolution|name or service not known|could not resolve host",
    r"failed to lookup address|tls handshake|http/?2 (?:error|protocol)|h2 protocol error",
    r"\bERR_(?:INTERNET_DISCONNECTED|NETWORK_\w{1,30}|CONNECTION_\w{1,30}|NAME_NOT_RESOLVED)\b",
    r"connect timeout|aborted due to timeout|(?-i:\bDEADLINE_EXCEEDED\b)|deadline exceeded",
    r"stream disconnected",
    r"socket connection was closed",
    # A laptop without a network cannot resolve names either; a wrong host name stays unresolved,
    # and the number of retries is limited.
    r"\bE(?:NOTFOUND|AI_AGAIN)\b",
    r"error sending request",
    r"cannot connect to api",
    # Not "timed out" alone: a step that took too long says that as well, and is not retried.
    r"(?:request|connection|connect) timed out",
    r"\bfetch failed",
    r"\bnetwork error:",
)
_AUTH = texts(
    r"incorrect api key",
    r"not (?:logged|signed) in|not authenticated",
    r"please (?:run|use) /login|please run [\w -]{1,40} login|please (?:log|sign) in",
    r"no (?:api key|authentication information|credentials|access token) (?:was |were )?"
    r"(?:found|provided|set|configured)",
    r"(?:api key|credentials|access token) (?:is |are )?(?:missing|not (?:found|set|provided))",
    r"please set an auth method",
    r"authentication (?:failed|required|error)",
    r"failed to (?:authenticate|log ?in|sign ?in)\b",
    r"missing environment variable",
    r"must specify the \w{1,60}_API_KEY",
    r"requires setting the \w{1,60}(?: or \w{1,60})? env",
    r"to use \w{2,30} with your [\w ]{1,30} plan, upgrade",
)
# A 402 or 429 with these is about what this agent asked for, not about its account.
_ABOUT_THE_REQUEST = texts(
    r"request too large",
    r"fewer max_tokens",
    r"can only afford",
    r"limit: 0\b",
    r"long context",
)
_RETRY_IN = texts(r"retry in \d", r"retry after \d")

_NONE = statuses(None)
# A refusal of any status may be about money or a limit; 401 and 5xx too, see profiles.py.
_REFUSED = FIVE_HUNDREDS | statuses(None, 400, 401, 402, 403, 409, 412, 422, 423, 429)

FIRST: Sequence[Rule] = (
    # The gateway's own; both, for an agent that passes only the text on.
    Rule("budget: code", PauseReason.BUDGET, codes=codes("rover_budget")),
    Rule("budget: text", PauseReason.BUDGET, statuses(400, None),
         begins=texts(r"Rover: the budget of this task (?:is used up|cannot be kept)")),
    Rule("fatal: this request", None, statuses(None, 400, 413, 422, 429),
         means=frozenset({Meaning.REQUEST}), change=SMALLER),
)  # fmt: skip

RULES: Sequence[Rule] = (
    # Codex has one class for an empty account and for a closed window; the words differ.
    Rule("credits: codex's code for both", PauseReason.CREDITS,
         codes=codes("usage_limit_exceeded"), means=frozenset({Meaning.CREDITS})),
    Rule("credits: codex's words", PauseReason.CREDITS,
         text=texts(r"quota exceeded\. check your plan")),
    Rule("credits: code", PauseReason.CREDITS,
         codes=codes("insufficient_quota billing_hard_limit_reached billing_error"
                      " creditsexhausted")),
    Rule("credits: 402, words", PauseReason.CREDITS, statuses(402),
         means=frozenset({Meaning.CREDITS})),
    Rule("window: 402, words", PauseReason.USAGE_WINDOW, statuses(402),
         means=frozenset({Meaning.WINDOW})),
    Rule("credits: 402", PauseReason.CREDITS, statuses(402)),
    Rule("window: code", PauseReason.USAGE_WINDOW,
         codes=codes("usage_limit_reached usage_limit_exceeded")),
    # Anthropic answers an empty account, and a spending limit that is reached, with 400.
    Rule("credits: 400", PauseReason.CREDITS, statuses(400, None),
         begins=texts(r"(?:your )?credit balance (?:is )?too low")),
    Rule("window: 400", PauseReason.USAGE_WINDOW, statuses(400, None),
         begins=texts(r"you have reached your specified API usage limits")),
    Rule("auth: 400", PauseReason.AUTH, statuses(400, None),
         text=texts(word(r"API_KEY_INVALID"), r"api key not valid")),
    Rule("window: 429, header", PauseReason.USAGE_WINDOW, statuses(429),
         header=("anthropic-ratelimit-unified-status", "rejected")),
    Rule("window: 429, a day's quota", PauseReason.USAGE_WINDOW, statuses(429),
         text=texts(r"daily quota", r"PerDay")),
    # Google has the same words for a minute's limit and for an empty account; the quota's name
    # tells them apart.
    Rule("rate limit: 429, a minute's quota", PauseReason.RATE_LIMIT, statuses(429),
         text=texts(r"PerMinute")),
    # Google says the very same of a minute's limit, but then with "retry in".
    Rule("credits: words", PauseReason.CREDITS, _REFUSED,
         means=frozenset({Meaning.CREDITS}), unless=_RETRY_IN),
    Rule("window: words", PauseReason.USAGE_WINDOW, _REFUSED,
         means=frozenset({Meaning.WINDOW})),
    Rule("limit: words", PauseReason.USAGE_WINDOW, _REFUSED - FIVE_HUNDREDS - statuses(429),
         means=frozenset({Meaning.LIMIT}), unless=_RETRY_IN),
    Rule("auth: the account", PauseReason.AUTH, statuses(None, 400, 403, 412, 423, 429),
         means=frozenset({Meaning.ACCOUNT})),
    Rule("rate limit: 429", PauseReason.RATE_LIMIT, statuses(429)),
    Rule("transient: 5xx, 408", PauseReason.TRANSIENT, FIVE_HUNDREDS | {408}),
    Rule("auth: 400, of OAuth", PauseReason.AUTH, statuses(400, None),
         codes=codes("invalid_grant invalid_client unauthorized_client invalid_token")),
    Rule("auth: 401, 403", PauseReason.AUTH, statuses(401, 403)),
    Rule("transient: code", PauseReason.TRANSIENT, _NONE,
         codes=codes("overloaded overloaded_error server_is_overloaded server_overloaded"
                      " server_error api_error internal_server_error connection_failed"
                      " unavailable no_result silence")),
    Rule("auth: code", PauseReason.AUTH, _NONE,
         codes=codes("authentication_error authentication_failed permission_error"
                      " oauth_org_not_allowed account_on_hold verification_required"
                      " cloud_credential_error -32000")),
    Rule("fatal: code", None, _NONE,
         codes=codes("invalid_request invalid_request_error model_not_found max_output_tokens"
                      " agent_missing invalid_script script session_lost")),
    Rule("auth: sign in", PauseReason.AUTH, statuses(None, 400),
         means=frozenset({Meaning.SIGN_IN})),
    Rule("rate limit: code", PauseReason.RATE_LIMIT, _NONE,
         codes=codes("rate_limit rate_limit_error rate_limit_exceeded")),
    Rule("rate limit: text", PauseReason.RATE_LIMIT, _NONE, text=_RATE_LIMIT),
    Rule("rate limit: words", PauseReason.RATE_LIMIT, _NONE, means=frozenset({Meaning.RATE})),
    Rule("transient: text", PauseReason.TRANSIENT, _NONE, text=_OVERLOADED),
    Rule("transient: network", PauseReason.TRANSIENT, _NONE, text=_NETWORK),
    Rule("auth: text", PauseReason.AUTH, _NONE, text=_AUTH),
)  # fmt: skip
