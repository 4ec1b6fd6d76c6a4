"""The forms of well-known tokens, each with the page on which its owner describes it. Pure data.

A form is searched in linear time: a start is a fixed string, and what may follow either cannot
contain another start before it has failed, or fails within a fixed number of bytes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class TokenForm:
    """`starts` are what the search looks for first, `rest` is what has to stand behind one of
    them; where it has a group, the group is what has to look random."""

    kind: str
    starts: Sequence[str]
    rest: re.Pattern[bytes]
    source: str


def _form(kind: str, starts: str, rest: str, source: str) -> TokenForm:
    return TokenForm(kind, tuple(starts.split()), re.compile(rest.encode()), source)


_GITHUB = (
    "https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/"
    "about-authentication-to-github#githubs-token-formats"
)
_SCANNED = (
    "https://docs.github.com/en/code-security/secret-scanning/introduction/"
    "supported-secret-scanning-patterns"
)

TOKEN_FORMS: Sequence[TokenForm] = (
    _form(
        "AWS access key", "AKIA ASIA", r"([A-Z2-7]{16})(?![A-Za-z0-9])",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/"
        "reference_identifiers.html#identifiers-unique-ids",
    ),
    _form(
        "AWS secret key",
        "aws_secret_access_key AWS_SECRET_ACCESS_KEY SecretAccessKey secretAccessKey",
        r"""["']?[ \t]{0,5}[:=][ \t]{0,5}["']?([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+])""",
        "https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-files.html",
    ),
    # Of at least this length: GitHub says that tokens may get longer.
    _form(
        "GitHub token", "ghp_ gho_ ghu_ ghs_ ghr_", r"([A-Za-z0-9_]{36})",
        "https://github.blog/changelog/"
        "2021-03-31-authentication-token-format-updates-are-generally-available",
    ),
    _form("GitHub token", "github_pat_", r"([A-Za-z0-9]{22}_[A-Za-z0-9]{59})", _GITHUB),
    _form(
        "GitLab token",
        "glpat- gloas- gldt- glrt- glrtr- glcbt- glptt- glft- glimt- glagent- glwt- glsoat- "
        "glffct-",
        r"([A-Za-z0-9_.-]{20})", "https://docs.gitlab.com/security/tokens/#token-prefixes",
    ),
    _form(
        "Slack token", "xoxb- xoxp- xoxa- xoxr- xoxs- xoxe- xoxo- xapp-", r"([A-Za-z0-9-]{24})",
        "https://docs.slack.dev/authentication/tokens/",
    ),
    _form(
        "Slack webhook", "hooks.slack.com/services/",
        r"T[A-Z0-9]{6,14}/B[A-Z0-9]{6,14}/([A-Za-z0-9]{20})",
        "https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks/",
    ),
    _form(
        "Stripe key", "sk_live_ rk_live_ whsec_", r"([A-Za-z0-9]{24})",
        "https://docs.stripe.com/keys",
    ),
    _form(
        "OpenAI key", "sk-proj- sk-svcacct- sk-admin-", r"([A-Za-z0-9_-]{40})",
        "https://platform.openai.com/docs/api-reference/project-api-keys",
    ),
    # Base64 of "OpenAI", which stands in the middle of every key with an old form.
    _form("OpenAI key", "T3BlbkFJ", r"([A-Za-z0-9_-]{20})", _SCANNED),
    _form(
        "Anthropic key", "sk-ant-", r"[a-z]{2,8}[0-9]{2}-([A-Za-z0-9_-]{40})", _SCANNED,
    ),
    _form("OpenRouter key", "sk-or-v1-", r"([a-f0-9]{64})", _SCANNED),
    _form("Groq key", "gsk_", r"([A-Za-z0-9]{48})", _SCANNED),
    _form("xAI key", "xai-", r"([A-Za-z0-9]{70})", _SCANNED),
    _form(
        "Google API key", "AIza", r"([A-Za-z0-9_-]{35})(?![A-Za-z0-9_-])",
        "https://cloud.google.com/docs/authentication/api-keys",
    ),
    _form(
        "Google OAuth secret", "GOCSPX-", r"([A-Za-z0-9_-]{28})",
        "https://developers.google.com/identity/protocols/oauth2",
    ),
    _form(
        "npm token", "npm_", r"([A-Za-z0-9]{36})",
        "https://github.blog/changelog/2021-09-23-npm-has-a-new-access-token-format/",
    ),
    _form(
        "PyPI token", "pypi-AgEIcHlwaS5vcmc pypi-AgENdGVzdC5weXBpLm9yZw",
        r"([A-Za-z0-9_-]{50})", "https://pypi.org/help/#apitoken",
    ),
    _form(
        "RubyGems key", "rubygems_", r"([a-f0-9]{48})",
        "https://guides.rubygems.org/api-key-scopes/",
    ),
    _form(
        "Docker token", "dckr_pat_ dckr_oat_", r"([A-Za-z0-9_-]{27})",
        "https://docs.docker.com/security/access-tokens/",
    ),
    _form(
        "Hugging Face token", "hf_", r"([A-Za-z]{34})(?![A-Za-z0-9])",
        "https://huggingface.co/docs/hub/security-tokens",
    ),
    _form(
        "DigitalOcean token", "dop_v1_ doo_v1_ dor_v1_", r"([a-f0-9]{64})",
        "https://docs.digitalocean.com/reference/api/create-personal-access-token/",
    ),
    _form(
        "SendGrid key", "SG.", r"([A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43})",
        "https://www.twilio.com/docs/sendgrid/ui/account-and-settings/api-keys",
    ),
    _form(
        "Shopify token", "shpat_ shpca_ shppa_ shpss_", r"([a-fA-F0-9]{32})",
        "https://shopify.dev/docs/apps/build/authentication-authorization/access-tokens",
    ),
    _form(
        "Vault token", "hvs. hvb. hvr.", r"([A-Za-z0-9_-]{24})",
        "https://developer.hashicorp.com/vault/docs/concepts/tokens",
    ),
    _form(
        "Grafana token", "glsa_", r"([A-Za-z0-9]{32}_[a-f0-9]{8})",
        "https://grafana.com/docs/grafana/latest/administration/service-accounts/",
    ),
    _form("Atlassian token", "ATATT3", r"([A-Za-z0-9_=-]{60})", _SCANNED),
    _form("Linear key", "lin_api_", r"([A-Za-z0-9]{40})", _SCANNED),
    _form(
        "Telegram bot token", ":AA", r"([A-Za-z0-9_-]{33})(?![A-Za-z0-9_-])",
        "https://core.telegram.org/bots/api#authorizing-your-bot",
    ),
    _form(
        "Azure storage key", "AccountKey=", r"([A-Za-z0-9+/]{86}==)",
        "https://learn.microsoft.com/azure/storage/common/storage-configure-connection-string",
    ),
    _form(
        "age key", "AGE-SECRET-KEY-1", r"([A-Z0-9]{58})", "https://age-encryption.org/v1",
    ),
    # The header alone stands in much code that reads keys: 40 characters of a body have to follow,
    # on the same line, or the next ones, or behind an escaped line end.
    _form(
        "private key", "-----BEGIN",
        r" [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----[\s\S]{0,300}?([A-Za-z0-9+/]{40})",
        "https://www.rfc-editor.org/rfc/rfc7468",
    ),
    # What is looked for is the payload: it cannot begin within a part that has failed before.
    _form(
        "JSON web token", ".eyJ", r"[A-Za-z0-9_-]{10,}\.([A-Za-z0-9_-]{20})",
        "https://www.rfc-editor.org/rfc/rfc7519",
    ),
)  # fmt: skip
"""What is a token wherever it stands."""

EXAMPLES: Sequence[tuple[str, str]] = (
    (
        "AKIAIOSFODNN7" + "EXAMPLE",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_access-keys.html",
    ),
    (
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCY" + "EXAMPLEKEY",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_access-keys.html",
    ),
    (
        ".eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ",
        "https://jwt.io/introduction",
    ),
)
"""Tokens that vendors print in their documentation, and where. They open nothing."""

PLACEHOLDERS = (
    b"example", b"placeholder", b"redacted", b"dummy", b"changeme", b"notreal", b"yourtoken",
    b"your_token", b"yourkey", b"your_key", b"0123456789", b"1234567890", b"abcdefgh", b"xxxxxx",
)  # fmt: skip
"""What a token that somebody made up for a test or a document contains, in lower case."""

FEWEST_BYTES = 6
"""Different bytes of a token: what has fewer is a row of the same letters."""


def is_placeholder(token: bytes, random_part: bytes) -> bool:
    """Whether a token is an example: one of a vendor's documentation, or one made up. Only the
    token's own characters count, not what stands around it."""
    if any(example.encode() in token for example, _ in EXAMPLES):
        return True
    lower = random_part.lower()
    return len(set(random_part)) < FEWEST_BYTES or any(word in lower for word in PLACEHOLDERS)
