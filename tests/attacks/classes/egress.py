"""Going elsewhere through the gateway. Played in tasks of their own (test_egress.py): what a task
is refused is counted up to a limit. Each destination is asked for by CONNECT and by plain http, and
must be refused before anything is looked up or connected to: an answer that tells of an attempt
(502) counts as success."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.attacks.attack import Attack, AttackClass
from tests.attacks.classes.credentials import GATEWAY, NO_GATEWAY


@dataclass(frozen=True)
class Destination:
    """A destination, and the setting that would allow it; none where nothing does."""

    asked: str
    remedy: str | None = None


LOOPBACK = (
    Destination("127.0.0.1:@PORT@"),
    Destination("[::1]:@PORT@"),
    Destination("[::ffff:127.0.0.1]:@PORT@"),
    Destination("[64:ff9b::7f00:1]:@PORT@"),
    Destination("0.0.0.0:@PORT@"),
    Destination("localhost:@PORT@"),
    Destination("localhost.:@PORT@"),
    Destination("ip6-localhost:@PORT@"),
)
SPELLED = (
    Destination("2130706433:@PORT@"),
    Destination("0x7f000001:@PORT@"),
    Destination("0x7f.1:@PORT@"),
    Destination("0177.0.0.1:@PORT@"),
    Destination("127.1:@PORT@"),
    Destination("127.0.0.1.:@PORT@"),
    Destination("[::1%25lo]:@PORT@"),
    Destination("0xa9fea9fe:80"),
)
NOT_PUBLIC = (
    Destination("169.254.169.254:80"),
    Destination("[fd00:ec2::254]:80"),
    Destination("168.63.129.16:80"),
    Destination("100.100.100.200:80"),
    # Only the user's own list lets one of a private network pass.
    Destination("10.0.0.1:22", '"10.0.0.1:22"'),
    Destination("172.17.0.1:2375", '"172.17.0.1:2375"'),
    Destination("192.168.1.1:80", '"192.168.1.1:80"'),
    Destination("[fd00::1]:443", '"[fd00::1]'),
    Destination("[fe80::1]:443"),
)
PUBLIC = (
    Destination("93.184.216.34:443", '"93.184.216.34'),
    Destination("[2606:2800:220:1::1]:443", '"[2606:2800:220:1::1]'),
)
NAMES = (
    Destination("not-allowed.example:443", '"not-allowed.example'),
    Destination("github.com.not-allowed.example:443", '"github.com.not-allowed.example'),
    Destination("not-github.com:443", '"not-github.com'),
    Destination("github.com:22", '"github.com:22"'),
    Destination("metadata.google.internal:80", '"metadata.google.internal'),
    Destination("host.docker.internal:@PORT@", '"host.docker.internal:'),
)

_ASK = (
    GATEWAY
    + """
import base64
proxy = "Basic " + base64.b64encode(f"rover:{token}".encode()).decode()
for place in PLACES:
    for method, target in (("CONNECT", place), ("GET", f"http://{place}/")):
        said = request(method, target, Proxy_Authorization=proxy)
        print(method, place, said[:200])
        if status(said) not in (400, 403):
            print("PWNED", method, place)
"""
)
_REDIRECTED = (
    GATEWAY
    + """
import base64
proxy = "Basic " + base64.b64encode(f"rover:{token}".encode()).decode()
for method, path, body in (("POST", "/anthropic/v1/messages", "{}"),
                           ("GET", "/anthropic/v1/models", "")):
    said = request(method, path, body)
    print(said)
    if status(said) != 302:
        print("PWNED", path)
    target = re.search("(?im)^location: *(\\\\S+)", said)[1]
    said = request("GET", target, Proxy_Authorization=proxy)
    print(said)
    if status(said) not in (400, 403):
        print("PWNED", target)
"""
)


def _attack(name: str, attempts: str, places: Sequence[Destination], stopped_by: str) -> Attack:
    commands = _ASK.replace("PLACES", repr([place.asked for place in places]))
    return Attack(name, attempts, commands, stopped_by, "python", opened=False, closed=NO_GATEWAY)


BY_ADDRESS = AttackClass(
    "addresses",
    "through the gateway, by address",
    (
        _attack(
            "proxied-loopback",
            "have the gateway connect to the host's loopback",
            LOOPBACK,
            "only public addresses, and names with a dot in them, are ever connected to",
        ),
        _attack(
            "proxied-spellings",
            "the same in decimal, octal, hexadecimal, short, with a zone",
            SPELLED,
            "an address has one spelling; any other is refused unread",
        ),
        _attack(
            "proxied-private",
            "have the gateway connect to the metadata service or the local network",
            NOT_PUBLIC,
            "only public addresses are ever connected to",
        ),
        _attack(
            "proxied-public",
            "have it connect to a public host by its address, IPv4 and IPv6",
            PUBLIC,
            "hosts are asked for by name, whatever the policy",
        ),
    ),
)
"""Refused whatever the task's policy is, `open` too."""

BY_NAME = AttackClass(
    "names",
    "through the gateway, by name",
    (
        _attack(
            "proxied-names",
            "reach a host that is not allowed, or looks like one that is, or another port of it",
            NAMES,
            "the allow-list; judged before the name is looked up",
        ),
    ),
)

BY_REDIRECT = AttackClass(
    "redirect",
    "through the gateway, by redirect",
    (
        Attack(
            "redirects",
            "have the gateway follow a provider's redirect to the host's loopback, or follow it",
            _REDIRECTED,
            "the gateway follows none, and refuses who does",
            "python",
            opened=False,
            closed=NO_GATEWAY,
        ),
    ),
)
EGRESS = (BY_ADDRESS, BY_NAME, BY_REDIRECT)
