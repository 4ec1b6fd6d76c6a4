"""The codes and words that mean something else at one provider than at the others. Data.

Several providers speak the API of Anthropic or OpenAI, and a base URL leads there. A profile is
found by the host that answered, or, where an agent passes the error on, by an address of the
provider's own in its words. Its rules come before the general ones; what it does not name is judged
by the words (meaning.py), which need no profile. Each has the page that its rules were taken from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent_runner.classify.failure_facts import FailureFacts
from agent_runner.classify.rule import Rule, codes, statuses, texts
from agent_runner.models import PauseReason

_CREDITS, _WINDOW = PauseReason.CREDITS, PauseReason.USAGE_WINDOW
_RATE, _BUSY, _AUTH = PauseReason.RATE_LIMIT, PauseReason.TRANSIENT, PauseReason.AUTH


@dataclass(frozen=True)
class Profile:
    """One provider: the hosts of its API, addresses that stand in its messages, its own rules."""

    name: str
    hosts: tuple[str, ...]
    source: str
    rules: Sequence[Rule] = ()
    marks: tuple[str, ...] = ()


PROFILES: Sequence[Profile] = (
    Profile(
        "openrouter",
        ("openrouter.ai",),
        "https://openrouter.ai/docs/api/reference/limits",
        (
            # The limit of a key is one of money, whatever window it has.
            Rule("openrouter: a key's limit", _CREDITS, statuses(402, 403),
                 text=texts(r"key limit exceeded")),
        ),
        marks=("openrouter.ai/",),
    ),
    Profile(
        "kimi",
        ("api.kimi.com", "api.moonshot.ai", "api.moonshot.cn"),
        "https://www.kimi.com/code/docs/en/kimi-code/error-reference.html",
        (
            Rule("kimi: no quota left", _CREDITS, codes=codes("exceeded_current_quota_error")),
            Rule("kimi: overloaded", _BUSY, codes=codes("engine_overloaded_error")),
        ),
        marks=("kimi.com/",),
    ),
    Profile(
        "zai",
        ("api.z.ai", "open.bigmodel.cn"),
        "https://docs.bigmodel.cn/cn/api/api-code",
        (
            Rule("zai: empty or expired", _CREDITS, codes=codes("1113 1309")),
            Rule("zai: a window", _WINDOW, codes=codes("1304 1308 1310")),
            Rule("zai: locked", _AUTH, codes=codes("1110 1111 1112 1121")),
            Rule("zai: too much at a time", _RATE, codes=codes("1302 1303 1305 1313")),
            Rule("zai: busy", _BUSY, codes=codes("1120 1234 1312")),
            Rule("zai: not in the plan", None, codes=codes("1311"),
                 change="choose a model that your plan includes, or upgrade the plan"),
        ),
        marks=("bigmodel.cn/", "z.ai/"),
    ),
    Profile(
        "dashscope",
        ("dashscope.aliyuncs.com", "dashscope-intl.aliyuncs.com", "aliyuncs.com"),
        "https://www.alibabacloud.com/help/en/model-studio/error-code",
        (
            Rule("dashscope: owes", _CREDITS, codes=codes("arrearage")),
            Rule("dashscope: free tier only", _CREDITS,
                 codes=codes("allocationquota.freetieronly")),
            # OpenAI's code and words for an empty account, here for tokens of one minute.
            Rule("dashscope: a plan's window", _WINDOW, statuses(429),
                 text=texts(r"\b(?:hour|day|week|month)s? allocated quota exceeded",
                            r"free allocated quota exceeded")),
            Rule("dashscope: a minute", _RATE, statuses(429),
                 codes=codes("insufficient_quota throttling throttling.ratequota"
                             " throttling.allocationquota throttling.burstrate")),
            Rule("dashscope: a minute, words", _RATE, statuses(429, None),
                 text=texts(r"error-code#token-limit")),
        ),
        marks=("aliyun.com/", "alibabacloud.com/"),
    ),
    Profile(
        "opencode",
        ("opencode.ai",),
        "https://github.com/anomalyco/opencode/tree/dev/packages/console/app/src/routes/zen/util",
        (
            Rule("opencode: no balance", _CREDITS,
                 codes=codes("creditserror monthlylimiterror userlimiterror")),
            # Its limit of a free model is one of a day, and says so in its type alone.
            Rule("opencode: free usage", _WINDOW,
                 codes=codes("freeusagelimiterror gousagelimiterror subscriptionusagelimiterror")),
            Rule("opencode: free usage, words", _WINDOW, statuses(429, None),
                 text=texts(r"rate limit exceeded\. please try again later",
                            r"free usage exceeded")),
        ),
        marks=("opencode.ai/",),
    ),
    Profile(
        "copilot",
        ("api.githubcopilot.com", "githubcopilot.com"),
        "https://docs.github.com/en/copilot/concepts/rate-limits",
        (Rule("copilot: premium requests", _WINDOW, codes=codes("quota_exceeded")),),
    ),
    Profile(
        "github-models",
        ("models.github.ai", "models.inference.ai.azure.com"),
        "https://docs.github.com/en/github-models/use-github-models/prototyping-with-ai-models",
        (
            Rule("github models: a day", _WINDOW, statuses(429),
                 text=texts(r"By Day\b", r"ByDay\b", r"per 86400s")),
        ),
    ),
    Profile(
        "bedrock",
        ("amazonaws.com",),
        "https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html",
        (
            Rule("bedrock: not ready", _BUSY,
                 codes=codes("modelnotreadyexception modeltimeoutexception"
                             " serviceunavailableexception")),
        ),
    ),
    Profile(
        "together",
        ("api.together.xyz", "api.together.ai"),
        "https://docs.together.ai/docs/error-codes",
        (
            Rule("together: too long", None, statuses(403), text=texts(r"max_tokens"),
                 change="let the step read less at a time, or use a model with a longer context"),
        ),
    ),
    Profile(
        "groq",
        ("api.groq.com",),
        "https://console.groq.com/docs/errors",
        (Rule("groq: flex tier is full", _BUSY, statuses(498)),),
    ),
    Profile(
        "fireworks",
        ("api.fireworks.ai",),
        "https://docs.fireworks.ai/guides/inference-error-codes",
        (Rule("fireworks: suspended", _CREDITS, statuses(412)),),
    ),
    Profile(
        "litellm",
        (),
        "https://docs.litellm.ai/docs/proxy/users",
        (Rule("litellm: a budget", _CREDITS, codes=codes("budget_exceeded")),),
    ),
    # The words of these need no rule of their own.
    Profile("deepseek", ("api.deepseek.com",),
            "https://api-docs.deepseek.com/quick_start/error_codes"),
    Profile("xai", ("api.x.ai", "cli-chat-proxy.grok.com"),
            "https://docs.x.ai/docs/key-information/debugging"),
    Profile("mistral", ("api.mistral.ai", "codestral.mistral.ai"),
            "https://docs.mistral.ai/deployment/laplateforme/tier"),
    Profile("cerebras", ("api.cerebras.ai",), "https://inference-docs.cerebras.ai/support/error"),
    Profile("ollama", ("ollama.com",), "https://docs.ollama.com/cloud"),
    Profile("azure", ("openai.azure.com", "services.ai.azure.com", "cognitiveservices.azure.com"),
            "https://learn.microsoft.com/azure/ai-foundry/openai/quotas-limits"),
    Profile("vertex", ("aiplatform.googleapis.com",),
            "https://cloud.google.com/vertex-ai/generative-ai/docs/error-code-429"),
    Profile("cursor", ("api2.cursor.sh",), "https://cursor.com/docs/account/usage"),
)  # fmt: skip

ALIASES = {
    "moonshot": "kimi",
    "zhipu": "zai",
    "glm": "zai",
    "bigmodel": "zai",
    "z.ai": "zai",
    "alibaba": "dashscope",
    "qwen": "dashscope",
    "opencode-zen": "opencode",
    "opencode-go": "opencode",
    "github-copilot": "copilot",
    "github": "copilot",
    "aws": "bedrock",
}
"""Other names of the providers."""


def profile_named(name: str) -> Profile | None:
    """The profile of a provider's name."""
    wanted = ALIASES.get(name.lower(), name.lower())
    return next((p for p in PROFILES if p.name == wanted), None)


def name_at(host: str | None) -> str | None:
    """The name of the provider whose API has that host."""
    host = (host or "").lower()
    return next(
        (p.name for p in PROFILES if any(host == h or host.endswith(f".{h}") for h in p.hosts)),
        None,
    )


def profile_of(facts: FailureFacts) -> Profile | None:
    """The profile of the provider that refused; None if it is not known."""
    if facts.host is not None:
        name = name_at(facts.host) or facts.host
        if (known := profile_named(name)) is not None:
            return known
    return next((p for p in PROFILES if any(mark in facts.text for mark in p.marks)), None)
