"""Finds the line of a failed program's output that names the cause. Pure.

The last line often does not: npm's names a log file, pip's says that a package does not exist if no
registry could be reached, make's only that something failed. The output is untrusted: a line is
chosen for people to read, and nothing is concluded from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_NOISE = re.compile(
    r"A complete log of this run|^npm (?:error|ERR!) (?:code|errno|syscall|path|type|dest)\b"
    r"|^make(?:\[\d+\])?: \*\*\*|^Please make sure you have the correct access|^and the repository"
    r"|^Step \d+/\d+ :|^\[notice\]|^hint: |^note: This |subprocess-exited-with-error"
    r"|metadata-generation-failed"
    r"|did not run successfully|^(?:exit code|exit status|the command failed with)"
    r"|They have been ignored, or old ones used|returned a non-zero code"
    r"|^Could not fetch URL .*skipping$"
    r"|^WARNING: There was an error checking the latest version|^Traceback \(most recent"
    r"|^(?:fatal: )?clone of .* failed$|^Failed to clone|^Retry scheduled",
    re.IGNORECASE,
)
_CERTIFICATE = re.compile(
    r"certificate[ _]verif|CERTIFICATE|self[- ]signed|SELF_SIGNED|x509:|SSL certificate|SSLError"
    r"|UNABLE_TO_(?:GET_ISSUER|VERIFY)|certificate (?:is|has|not|chain|common|required)"
    r"|invalid peer cert"
    r"|unknown (?:ca|issuer|authority)",
    re.IGNORECASE,
)
_NETWORK = re.compile(
    r"could ?n[o']t resolve|temporary failure|name or service not known|name resolution"
    r"|no such host|ENOTFOUND|EAI_AGAIN|getaddrinfo|connection (?:refused|reset|timed out)"
    r"|couldn'?t connect|could not connect|failed to connect|unable to connect|ECONN\w+|ETIMEDOUT"
    r"|network is unreachable|no route to host|i/o timeout|timed? ?out"
    r"|tunnel connection failed|CONNECT tunnel failed|HTTP code \d+ from proxy|\(Rover: "
    r"|not a trusted or secure host",
    re.IGNORECASE,
)
_REFUSED = re.compile(
    r"\b(?:401|403|407)\b.*(?:unauthorized|forbidden|proxy|authentication)|\bE40[13]\b"
    r"|^(?:npm error |npm ERR! )?5\d\d +[A-Z]|^User for \S+:"
    r"|\b(?:returned error|status(?: code)?|HTTP error|HTTP code)[: ]+(?:401|403|404|407|5\d\d)\b"
    r"|authentication (?:failed|required)|could not read (?:username|password)"
    r"|permission denied|access denied|insufficient permission|EACCES|EPERM"
    r"|operation not permitted|host key verification failed",
    re.IGNORECASE,
)
_DISK = re.compile(
    r"no space left|ENOSPC|disk quota exceeded|read-only file system|out of memory|cannot allocate",
    re.IGNORECASE,
)
_MISSING = re.compile(
    r"command not found|: not found$|no such file or directory|unable to locate package"
    r"|no matching distribution|could not find a version|404 +not found|\bE404\b|ETARGET"
    r"|has no installation candidate|no module named|cannot find (?:module|package|crate)"
    r"|repository .* (?:not found|does not exist)|does not have a Release file"
    r"|remote branch .* not found|ResolutionImpossible|conflicting dependencies|EINTEGRITY"
    r"|hash(?:es)? (?:sum )?mismatch|do not match the hashes|unsupported engine|requires .*python",
    re.IGNORECASE,
)
_ERROR = re.compile(
    r"^(?:[\w./-]+: ?)*(?:fatal|error|err|e|npm err!|npm error)\b[\]!:]? ?"
    r"|\b\w*(?:Error|Exception)\b:"
    r"|: (?:fatal )?error\b|^error\[|undefined reference|\bpanic:|\bcannot\b|\bfailed\b",
    re.IGNORECASE,
)
_PREAMBLE = re.compile(r"^WARNING: Retrying \(.*?\) after connection broken by ")
"""pip's, in front of what broke it."""
_WARNING = re.compile(r"(?:npm )?(?:w|warn|warning)\b", re.IGNORECASE)
_RANKS = (_DISK, _CERTIFICATE, _NETWORK, _REFUSED, _MISSING, _ERROR)
"""The best first: a full disk also causes errors that look like those of the later patterns."""
PLAIN = len(_RANKS)


def rank(line: str) -> int:
    """How well a line names a cause: 0 is best, PLAIN means not at all."""
    if _NOISE.search(line):
        return PLAIN
    number = next((n for n, pattern in enumerate(_RANKS) if pattern.search(line)), PLAIN)
    # Of the warnings only those about a registry that cannot be reached name a cause.
    return PLAIN if _WARNING.match(line) and number > _RANKS.index(_NETWORK) else number


LONGEST = 300
"""Characters of a line."""


class FailureCause:
    """The cause in the output of a program, which is read line by line. Two lines are kept."""

    def __init__(self) -> None:
        self._rank = PLAIN
        self._line = self._last = ""

    def add(self, line: str) -> None:
        """Take the next line of the output."""
        line = _PREAMBLE.sub("", line.strip())[:LONGEST]
        if not line:
            return
        number = rank(line)
        if number < self._rank:
            self._rank, self._line = number, line
        if not _NOISE.search(line) or not self._last:
            self._last = line

    @property
    def line(self) -> str:
        """The line that names the cause; if none does, the last one that is not noise."""
        return self._line or self._last

    @property
    def known(self) -> bool:
        """Whether the line is of a kind that names causes, rather than just an error."""
        return self._rank < _RANKS.index(_ERROR)

    @property
    def both(self) -> str:
        """The line that names the cause, and the last line if it is another one."""
        return self.line if self.line == self._last else f"{self.line}; then: {self._last}"


def cause_of(lines: Iterable[str]) -> FailureCause:
    """The cause in the complete output of a program."""
    cause = FailureCause()
    for line in lines:
        cause.add(line)
    return cause
