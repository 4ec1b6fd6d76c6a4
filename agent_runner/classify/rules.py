"""The table of rules: the first that fits a failure decides. Data; facts/agents.md, section 6.

The order, and why:
1. Codes and statuses with one meaning (402, `insufficient_quota`, `usage_limit_reached`, ...).
2. 400, which is not always fatal: three texts come before the status.
3. 429, which has four meanings: what tells a closed window, an empty account and a daily quota
   apart comes first, a plain rate limit is what remains.
4. The other statuses: 5xx and 408, then 401 and 403.
5. No status was told (an error inside a stream, an agent that loses it): codes first, those of
   an error that no waiting mends among them, then text. The rarest meaning is asked first:
   credits, usage window, rate limit, overloaded, network, authentication.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from agent_runner.classify.told import Told
from agent_runner.models import PauseReason

Patterns = tuple[re.Pattern[str], ...]


@dataclass(frozen=True)
class Rule:
    """All that is set must hold; of `codes`, of `text` and of `begins` one each. `begins` is how a
    message begins, `text` stands anywhere in the provider's own words. `statuses` with None in it:
    no status was told. `reason` None: waiting does not help, it is fatal."""

    name: str
    reason: PauseReason | None
    statuses: frozenset[int | None] = frozenset()
    codes: frozenset[str] = frozenset()
    text: Patterns = ()
    begins: Patterns = ()
    unless: Patterns = ()
    header: tuple[str, str] | None = None

    def fits(self, told: Told) -> bool:
        """Whether it is about this failure."""
        if told.is_about_a_parameter and (self.text or self.begins):
            return False
        return (
            (not self.statuses or told.status in self.statuses)
            and (not self.codes or bool(self.codes & told.codes))
            and (not self.text or _any(self.text, told.text))
            and (not self.begins or any(p.match(o) for p in self.begins for o in told.openings))
            and not _any(self.unless, told.text)
            and (self.header is None or told.headers.get(self.header[0]) == self.header[1])
        )


def is_about_the_request(told: Told) -> bool:
    """Whether a refusal says that a smaller or another request would have been answered."""
    return _any(_ABOUT_THE_REQUEST, told.text)


def rule_for(told: Told) -> Rule | None:
    """The first rule that fits; None: nobody has seen this error yet."""
    return next((rule for rule in RULES if rule.fits(told)), None)


def _any(patterns: Patterns, text: str) -> bool:
    return any(pattern.search(text) for pattern in patterns)


def _texts(*patterns: str) -> Patterns:
    return tuple(re.compile(pattern, re.IGNORECASE) for pattern in patterns)


def _codes(words: str) -> frozenset[str]:
    return frozenset(words.split())


def _statuses(*statuses: int | None) -> frozenset[int | None]:
    return frozenset(statuses)


def _word(pattern: str) -> str:
    """Not a part of a path or of a longer name: `insufficient_quota.py` is no error."""
    return rf"(?<![\w/.-])(?:{pattern})(?![\w/-]|\.\w)"


_CREDITS = _texts(
    r"quota exceeded\. check your plan",
    _word(r"insufficient[_ ](?:quota|credits?|balance)"),
    r"out of (?:usage )?credits",
    r"org(?:anization)? is out of usage",
    r"credits? (?:are )?(?:exhausted|depleted)",
    r"payment required",
    r"billing hard limit",
    r"workspace credit limit",
    r"spend cap",
)
_WINDOW = _texts(
    r"you'?ve hit your .{0,20}limit",
    r"usage limit (?:has been )?reached",
    r"weekly limit reached",
    r"exhausted your (?:daily )?quota",
)
_RATE_LIMIT = _texts(
    r"rate limit (?:reached|exceeded)",
    r"would exceed your (?:account|organization)'s rate limit",
    r"too many requests",
    _word(r"resource_exhausted"),
    r"resource has been exhausted",
)
_OVERLOADED = _texts(
    _word(r"overloaded(?:_error)?") + r"(?! (?:function|method|operator|constructor))",
    r"model is at capacity",
    r"experiencing high demand",
    r"no capacity available",
    r"(?-i:\bUNAVAILABLE\b)",
    r"internal server error",
    r"\bserver error:",
    r"stream ended without a finish reason",
    r"failed to get response from the AI model",
)
_NETWORK = _texts(
    r"connection (?:dropped|refused|reset|error)",
    r"\bECONN(?:RESET|REFUSED)\b",
    r"stream disconnected",
    r"error sending request",
    r"cannot connect to api",
    # D4: a step's own time-out is another matter.
    r"(?:request|connection|connect) timed out",
    r"\bfetch failed",
    r"\bnetwork error:",
)
_AUTH = _texts(
    r"invalid api key",
    r"incorrect api key",
    r"not logged in",
    r"authentication (?:failed|required|error)",
    r"failed to authenticate",
    r"missing environment variable",
    r"must specify the \w{1,60}_API_KEY",
)
# A 402 or 429 with these is about what this agent asked for, not about its account.
_ABOUT_THE_REQUEST = _texts(
    r"request too large",
    r"fewer max_tokens",
    r"can only afford",
    r"limit: 0\b",
    r"long context",
)
_RETRY_IN = _texts(r"retry in \d", r"retry after \d")

_FIVE_HUNDREDS = frozenset[int | None](range(500, 600))
_NONE = _statuses(None)

RULES: Sequence[Rule] = (
    # The gateway's own; both, for an agent that passes only the text on.
    Rule("budget: code", PauseReason.BUDGET, codes=_codes("rover_budget")),
    Rule("budget: text", PauseReason.BUDGET, _statuses(400, None),
         begins=_texts(r"Rover: the budget of this task (?:is used up|cannot be kept)")),
    Rule("credits: codex's code for both", PauseReason.CREDITS,
         codes=_codes("usage_limit_exceeded"), text=_CREDITS),
    Rule("credits: code", PauseReason.CREDITS,
         codes=_codes("insufficient_quota billing_hard_limit_reached billing_error"
                      " creditsexhausted")),
    Rule("credits: 402", PauseReason.CREDITS, _statuses(402)),
    Rule("window: code", PauseReason.USAGE_WINDOW,
         codes=_codes("usage_limit_reached usage_limit_exceeded")),
    Rule("credits: 400", PauseReason.CREDITS, _statuses(400, None),
         begins=_texts(r"(?:your )?credit balance (?:is )?too low")),
    Rule("window: 400", PauseReason.USAGE_WINDOW, _statuses(400, None),
         begins=_texts(r"you have reached your specified API usage limits")),
    Rule("auth: 400", PauseReason.AUTH, _statuses(400, None),
         text=_texts(_word(r"API_KEY_INVALID"), r"api key not valid")),
    Rule("window: 429, header", PauseReason.USAGE_WINDOW, _statuses(429),
         header=("anthropic-ratelimit-unified-status", "rejected")),
    Rule("window: 429, a day's quota", PauseReason.USAGE_WINDOW, _statuses(429),
         text=_texts(r"daily quota", r"PerDay")),
    # Google says the very same of a minute's limit, but then with "retry in".
    Rule("credits: 429", PauseReason.CREDITS, _statuses(429),
         text=(*_CREDITS,
               *_texts(r"exceeded your current quota, please check your plan and billing")),
         unless=_RETRY_IN),
    Rule("window: 429", PauseReason.USAGE_WINDOW, _statuses(429), text=_WINDOW),
    Rule("rate limit: 429", PauseReason.RATE_LIMIT, _statuses(429)),
    Rule("transient: 5xx, 408", PauseReason.TRANSIENT, _FIVE_HUNDREDS | {408}),
    Rule("auth: 401, 403", PauseReason.AUTH, _statuses(401, 403)),
    Rule("transient: code", PauseReason.TRANSIENT, _NONE,
         codes=_codes("overloaded overloaded_error server_is_overloaded server_overloaded"
                      " server_error api_error internal_server_error connection_failed"
                      " unavailable no_result silence")),
    Rule("auth: code", PauseReason.AUTH, _NONE,
         codes=_codes("authentication_error authentication_failed permission_error"
                      " oauth_org_not_allowed account_on_hold verification_required"
                      " cloud_credential_error -32000")),
    Rule("fatal: code", None, _NONE,
         codes=_codes("invalid_request invalid_request_error model_not_found max_output_tokens"
                      " agent_missing invalid_script script session_lost")),
    Rule("credits: text", PauseReason.CREDITS, _NONE, text=_CREDITS),
    Rule("window: text", PauseReason.USAGE_WINDOW, _NONE, text=_WINDOW),
    Rule("rate limit: code", PauseReason.RATE_LIMIT, _NONE,
         codes=_codes("rate_limit rate_limit_error rate_limit_exceeded")),
    Rule("rate limit: text", PauseReason.RATE_LIMIT, _NONE, text=_RATE_LIMIT),
    Rule("transient: text", PauseReason.TRANSIENT, _NONE, text=_OVERLOADED),
    Rule("transient: network", PauseReason.TRANSIENT, _NONE, text=_NETWORK),
    Rule("auth: text", PauseReason.AUTH, _NONE, text=_AUTH),
)  # fmt: skip
