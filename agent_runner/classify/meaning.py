"""Finds what the words of a refusal mean, clause by clause. Pure.

Providers word the same few things in many ways: money or a limit is named, and that it is used up.
What is named decides: money (balance, credits, budget, spending), a limit of a window (day, week,
month, N hours, a plan's usage), a limit of a rate (minute, second, concurrency), the request
itself, the account, the login. A limit counts only in a clause that also says that it is reached;
advice ("add credits to unlock more") does not say so, and neither does a time to come back.

The lists are English and Chinese. The regular expressions are linear.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import StrEnum


class Meaning(StrEnum):
    """What a clause of a refusal means."""

    REQUEST = "request"
    """this very request can never be answered, however long one waits"""
    CREDITS = "credits"
    """money is used up, or owed"""
    WINDOW = "window"
    """the usage of a longer window is used up"""
    RATE = "rate"
    """too much at a time"""
    LIMIT = "limit"
    """a limit is reached, and nothing says of what"""
    BUSY = "busy"
    """the provider has too much to do"""
    ACCOUNT = "account"
    """the account is closed by the provider"""
    SIGN_IN = "sign_in"
    """the credential is not accepted"""


def _any(*words: str) -> re.Pattern[str]:
    return re.compile("|".join(words), re.IGNORECASE)


_CLAUSES = re.compile(r"[.!?;](?=\s|$)|[\n。；！？·•∙|]")
_CAMEL = re.compile(r"(?<=[a-z\d])(?=[A-Z][a-z])")
# What follows is a time to come back: "in 3 hours" does not name a window.
_WHEN = _any(
    r"\b(?:try(?:ing)? again|retry(?:ing)?|resets?|wait(?:ing)?|come back)"
    r" (?:in|after|at|on|for|until|before|\d).{0,300}",
    r"请?稍后再试.{0,100}",
)
_ADVICE = _any(
    r"\b(?:please|to) (?:increase|upgrade|contact|reduce|request|submit|apply|raise|unlock)\b"
    r".{0,300}",
    r"^to (?:continue|keep|proceed)\b.{0,300}",
    r"\bspend limit hit: false\b|\bspend limits: \[",
    r"\bhttps?://\S{1,300}",
)
# Limits of a machine, of a program or of one request, but not "daily token limit".
_OTHER_LIMITS = _any(
    r"(?<!\bdaily )(?<!\bhourly )(?<!\bweekly )(?<!\bmonthly )"
    r"\b(?:disk|storage|memory|heap|stack|recursion|time|timeout|turns?|steps?|files?|size|line"
    r"|length|context|window|output|input|tokens?|retry|depth|characters?|upload|connections?|cpu"
    r"|iterations?|loop|arguments?|inodes?|process|threads?|max|maximum|body|bandwidth|gas"
    r"|thinking|reasoning) (?:limits?|quota|cap|capacity|budget)\b",
    r"\b(?:disk|memory|cpu|heap|maximum) usage\b",
    r"\bfor (?:this|the|your) billing (?=cycle|period)",
)
_BILLING_PERIOD = _any(r"\bbilling (?=cycle|period|month)")

_GONE = _any(
    r"\b(?:reached|hit|hitting|exceed(?:ed|s|ing)?|exhausted|depleted|consumed|crossed|overdrawn"
    r"|used up|used all|fully used|quota used|(?:has|have|already) used|ran out|run out|out of"
    r"|over (?:(?:the|its|your) )?(?:limit|budget|quota)|insufficient|not enough|isn't enough"
    r"|have no|has no|no more|no remaining|no available|none left|too low|too many|maxed out"
    r"|(?:do|does|did)(?: not|n.t) (?:currently )?have|lacks?|met|spent|surpassed|drained"
    r"|(?:are|is|.re) at (?:your|the|its)|is (?:zero|0|empty|full)|no (?:credits?|balance|funds)"
    r"|allowance used)\b",
    r"\b1\d\d(?:\.\d+)? ?%",
    r"不足|用尽|用完|耗尽|已达|达到|超出|超过|超限|失败|上限",
)
_LIMIT = _any(
    r"\b(?:limits?|quotas?|allowance|allocation|cap|usage|(?:your|usage) capacity"
    r"|requests? count)\b",
    # Services that sell a number of messages: "you are out of user messages".
    r"\bout of (?:[a-z]{1,20} ){0,2}(?:messages|requests|prompts)\b",
    r"限额|额度|配额|上限|次数|限制",
)
_WINDOW = _any(
    r"\b(?:daily|days?|weekly|weeks?|monthly|months?|hourly|hours?|today|session|period|cycle"
    r"|yearly|annual|included|tpd|rpd|\d{1,3}[ -]?(?:h|d|hr|hour|day|week)s?|86400s)\b",
    r"\b(?:usage (?:limits?|quota|cap)|free[ -](?:tier|usage|quota|plan|models|requests|allocated)"
    r"|(?:your|current|individual|subscription) plan"
    r"|plan(?:'s)? (?:limit|quota|usage|allowance))\b",
    r"今日|今天|每日|当日|每天|每周|本周|每月|本月|周期|套餐|小时|使用上限",
)
_SHORT = _any(
    r"\b(?:minutes?|mins?|seconds?|rpm|tpm|rps|tps|qps|qpm|concurren(?:t|cy)|burst|parallel"
    r"|in[ -]flight|simultaneous(?:ly)?)\b",
    r"分钟|并发|频率|每秒|速率|流量",
)
_RATE = _any(
    r"\brate[ -]?limit(?:ed|s|ing)?\b",
    r"\btoo many (?:requests|tokens)\b",
    r"\bthrottl(?:ed|ing)\b",
    r"\btoo (?:quickly|fast|frequent(?:ly)?)\b",
    r"\brequest rate\b",
)
_RATED = _any(r"\brate[ -]limited\b", r"\bthrottl", r"\btoo (?:quickly|fast|frequent)", "too many")
_OWN = _any(
    r"\b(?:you|you've|your|account|individual|usage|user|team|workspace|organi[sz]ation|plan|free)\b"
)

_MONEY = _any(
    r"\b(?:balance|credits?|budget|spend|spending|funds|payments?|prepaid|prepayment|wallet"
    r"|invoices?|overages?|extra usage|billing)\b",
    r"余额|账户额度|资源包|账单",
)
_MONEY_GONE = _any(
    r"\b(?:suspended|past due|overdue|declined|unpaid|failed|failure|negative|below zero|inactive"
    r"|not active|required|requires|disabled|expired"
    r"|(?:draws?|drawn|drawing) (?:from|on)|(?:billed|charged|deducted) (?:to|from|against|as))\b"
)
_OWED = _any(
    r"\binsufficient (?:user |account )?(?:funds|balance|credits?|quota)\b",
    r"\b(?:arrears|arrearage|payment required|can only afford|not in good standing)\b",
    r"\bis in good standing\b|\bout of usage\b",
    r"\b(?:user|token|account) quota is not enough\b",
    r"\b(?:subscription|trial|trial period) (?:has |is )?(?:expired|lapsed|ended|over)\b",
    r"\bno active (?:subscription|plan)\b",
    r"欠费|余额不足|额度不足|请充值|预扣费|已到期",
)

_REQUEST = _any(
    r"\b(?:request|prompt|input|message|payload|context|conversation) (?:is |was |are )?"
    r"too (?:large|long|big)\b",
    r"\blimit: 0\b(?!\.)",
    r"\b(?:required|needed) for (?:1m|long) context\b",
    r"\blong context (?:beta|requests?|window)\b",
    r"\btokens must be reduced\b",
    r"\bmax_output_tokens\b|\bmaximum allowed number of output tokens\b",
    r"\bcontext (?:length|window)\b.{0,60}\b(?:exceed|exceeded|exceeds|limit)\b",
    r"\b(?:exceed|exceeds|exceeded)\b.{0,60}\b(?:context (?:length|window|limit)|token limit"
    r"|model limit)\b",
    r"\bran out of room\b.{0,60}\bcontext\b",
    r"\bmaximum context length\b",
    r"\brange of input length\b",
    r"超长",
)
_TOO_MUCH = re.compile(r"\bLimit:? (\d{1,12}).{0,60}?\bRequested:? ~?(\d{1,12})", re.IGNORECASE)

_CLOSED = _any(
    r"\b(?:organi[sz]ation|account|workspace|team|project|subscription|api key|key|user|access)\b"
    r".{0,60}\b(?:disabled|deactivated|banned|blocked|locked|terminated|suspended|revoked)\b",
    r"\b(?:account|access) (?:is )?(?:terminated|suspended)\b",
    r"已被锁定|违规|非活动",
)
_SIGN_IN = _any(
    r"\brefresh token\b|\brefresh(?:ing)? (?:the |your )?(?:access )?token\b",
    r"\b(?:sign|log)(?:ing)? ?in again\b",
    r"\bre-?authenticate\b|\b401 unauthorized\b",
    r"\b(?:token|api key|credentials?|log-?in|session) (?:has |have |is |are |was )?(?:been )?"
    r"(?:expired|revoked|invalidated|not valid|invalid)\b",
    r"\b(?:token|credentials?|session)\b.{0,60} (?:is|has|have|are) (?:been )?"
    r"(?:expired|revoked)\b",
    r"\b(?:expired|revoked|invalid) (?:api key|credentials?|access token|authentication)\b",
    r"身份验证失败|token 已过期|令牌已过期|无效的令牌|无效的 ?api",
)
_BUSY = _any(
    r"\b(?:at capacity|no capacity|high demand|overloaded|heavy load|temporarily limiting)\b",
    r"访问量过大|已饱和|繁忙|过载",
)


def clauses(text: str) -> Iterator[str]:
    """The clauses of a text that are not empty."""
    return (clause.strip() for clause in _CLAUSES.split(text) if clause.strip())


def meanings(texts: Iterable[str]) -> frozenset[Meaning]:
    """The meanings of all clauses of some texts."""
    of_clauses = (meaning_of(clause) for text in texts for clause in clauses(text))
    return frozenset(meaning for meaning in of_clauses if meaning is not None)


def meaning_of_code(code: str) -> Meaning | None:
    """The meaning of a code, read as words: `free_quota_exceeded`, `FreeUsageLimitError`. A limit
    that an error code names has been reached."""
    words = _CAMEL.sub(" ", code).replace("_", " ").replace(".", " ").replace("-", " ")
    return meaning_of(f"{words} exceeded")


def meaning_of(clause: str) -> Meaning | None:
    """The meaning of one clause; None if it does not matter here."""
    clause = _CAMEL.sub(" ", clause)
    if _is_of_the_request(clause):
        return Meaning.REQUEST
    clause = _ADVICE.sub(" ", _WHEN.sub(" ", clause))
    clause = _OTHER_LIMITS.sub(" ", _BILLING_PERIOD.sub("", clause))
    return _of_money_or_limits(clause) or _of_the_rest(clause)


def _is_of_the_request(clause: str) -> bool:
    if _REQUEST.search(clause):
        return True
    numbers = _TOO_MUCH.search(clause)
    return numbers is not None and int(numbers[2]) > int(numbers[1]) > 0


def _of_money_or_limits(clause: str) -> Meaning | None:
    gone = _GONE.search(clause) is not None
    if _OWED.search(clause) or (
        _MONEY.search(clause) and (gone or _MONEY_GONE.search(clause) is not None)
    ):
        return Meaning.CREDITS
    limit = _LIMIT.search(clause) is not None
    rate = _RATE.search(clause) is not None
    if not (gone and (limit or rate)) and not _RATED.search(clause):
        return None
    if _SHORT.search(clause):
        return Meaning.RATE
    if _WINDOW.search(clause):
        return Meaning.WINDOW
    if rate:
        return Meaning.RATE
    if not limit:
        return None
    return Meaning.WINDOW if _OWN.search(clause) else Meaning.LIMIT


def _of_the_rest(clause: str) -> Meaning | None:
    if _SIGN_IN.search(clause):
        return Meaning.SIGN_IN
    if _CLOSED.search(clause):
        return Meaning.ACCOUNT
    return Meaning.BUSY if _BUSY.search(clause) else None
