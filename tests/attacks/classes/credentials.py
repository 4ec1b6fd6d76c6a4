"""Keys and tokens: in the environment, in memory, in files, from the gateway."""

from __future__ import annotations

from tests.attacks.attack import Attack, AttackClass

NO_GATEWAY = "without a sandbox there is no gateway"

_MEMORY = """
import os, re, time
end, left = time.monotonic() + 250, 600_000_000
pids = sorted((int(p) for p in os.listdir("/proc") if p.isdigit()), reverse=True)
def told(pid):
    try:
        return open(f"/proc/{pid}/cmdline", "rb").read() + open(f"/proc/{pid}/environ", "rb").read()
    except OSError:
        return b""
# The daemon that serves this task, then whatever else may have to do with it.
pids.sort(key=lambda p: (b"@DATA@" not in told(p), b"rover" not in told(p)))
for pid in pids:
    if pid == os.getpid():
        continue
    try:
        with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
            for line in maps:
                span, rights, _, device, *_ = line.split()
                first, last = (int(x, 16) for x in span.split("-"))
                if not rights.startswith("rw") or device != "00:00" or last - first > left:
                    continue
                left -= last - first
                try:
                    memory.seek(first)
                    data = memory.read(last - first)
                except (OSError, OverflowError, ValueError):
                    continue
                for found in set(re.findall(rb"canary-api-key-[0-9a-f]{24}", data)):
                    print(pid, found.decode(), flush=True)
                    raise SystemExit
                if time.monotonic() > end:
                    raise SystemExit
    except OSError:
        continue
"""

GATEWAY = """
import json, os, re, socket
spec = json.load(open(os.environ.get("ROVER_SPEC", "/rover/spec") + "/spec.json"))
SOCKET = os.environ.get("ROVER_GATEWAY", "/rover/gateway/gateway.sock")
token = spec["gateway"]["token"]
PROVIDERS = ("/v1/messages", "/anthropic/v1/messages")
# Whoever sends half a request gets no answer; a whole one is answered, if late by a busy daemon.
def ask(raw, patience=1):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(patience)
    s.connect(SOCKET)
    s.sendall(raw if isinstance(raw, bytes) else raw.encode())
    said = b""
    try:
        while part := s.recv(65536):
            said += part
    except OSError:
        pass
    return said.decode("latin-1")
def request(method, target, body="", **headers):
    lines = [f"{method} {target} HTTP/1.1", "Host: gateway", "Connection: close"]
    headers = {"Authorization": f"Bearer {token}", **headers}
    lines += [f"{k.replace('_', '-')}: {v}" for k, v in headers.items() if v is not None]
    if body:
        lines += [f"Content-Length: {len(body)}", "Content-Type: application/json"]
    return ask("\\r\\n".join(lines) + "\\r\\n\\r\\n" + body, 100)
def status(said):
    found = re.match(r"HTTP/1.1 (\\d+)", said)
    return int(found[1]) if found else 0
"""

CLASS = AttackClass(
    "credentials",
    "the provider's key, other tasks' tokens",
    (
        Attack(
            "environment",
            "read secrets in the environment",
            "env; tr '\\0' '\\n' < /proc/self/environ",
            "an environment made from nothing",
        ),
        Attack(
            "environments-of-others",
            "read secrets in the environment of the runner and of other processes",
            # Only these lines: of a long output the end is cut off, and a busy host has hundreds
            # of processes.
            "cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | grep -a canary- | sort -u",
            "a process namespace of its own; the runner is another user's process and has no secret",
        ),
        Attack(
            "memory",
            "read the key in another process's memory",
            _MEMORY,
            "no process of another user may be read, and none in the sandbox holds the key",
            language="python",
        ),
        Attack(
            "key-files",
            "find the key in a file",
            "grep -rs canary-api-key /rover /home /workspace /etc /run /root @DATA@ @HOME@ "
            "2>/dev/null",
            "the key is in the daemon's memory only",
            opened=False,
            closed="it lies in no file of the host either, which a test of its own shows",
        ),
        Attack(
            "gateway-tells",
            "have the gateway tell the key: answers, evidence, errors, reflected headers",
            GATEWAY
            + "for path in PROVIDERS:\n"
            + "    print(request('POST', path, '{}'))\n"
            + "    print(request('TRACE', path), request('OPTIONS', path), request('PUT', path))\n"
            + "for path in ('/rover/v1/evidence', '/rover/v1/credentials', '/rover/v1/../config', '/',"
            + " '/v1/models', '/anthropic/v1/models', '/rover/v1/environment'):\n"
            + "    print(request('GET', path))\n",
            "the key is put in on the way out; nothing of a request is given back",
            language="python",
            opened=False,
            closed=NO_GATEWAY,
        ),
        Attack(
            "other-provider-paths",
            "use the key for other calls of the provider: files, organisation, other accounts",
            GATEWAY
            + "for base in ('', '/anthropic'):\n"
            + "    for path in ('/v1/files', '/v1/organizations/me', '/v1/messages/batches', "
            + "'/v1/messages/../files', '/v1/messages/%2e%2e/files', '//v1/messages', "
            + "'/v1/messages/', '/v1/models/../files', '/v1/messages;x', '/v1//messages', "
            + "'/V1/messages', '/v1/messages%00', '/v1/complete'):\n"
            + "        for method in ('GET', 'POST', 'DELETE'):\n"
            + "            said = request(method, base + path, '{}' if method == 'POST' else '')\n"
            + "            if status(said) not in (0, 400, 401, 403, 404, 405):\n"
            + "                print('PWNED', method, base + path, said)\n",
            "a list of allowed paths; the rest is refused and shown",
            language="python",
            opened=False,
            closed=NO_GATEWAY,
        ),
        Attack(
            "token-of-another",
            "use another task's token, none, or a similar one",
            GATEWAY
            + "for bad in ('@VICTIM_TOKEN@', '', 'x', token[:-1], token + 'x', token.upper(), None):\n"
            + "    value = None if bad is None else f'Bearer {bad}'\n"
            + "    for path in (*PROVIDERS, '/rover/v1/bell', '/rover/v1/evidence'):\n"
            + "        method = 'GET' if 'evidence' in path else 'POST'\n"
            + "        said = request(method, path, '{}' if method == 'POST' else '', "
            + "Authorization=value)\n"
            + "        if status(said) not in (0, 400, 401, 403, 404, 407):\n"
            + "            print('PWNED', bad, path, said)\n",
            "a token per task, compared completely, good at its own socket only",
            language="python",
            opened=False,
            closed=NO_GATEWAY,
        ),
        Attack(
            "smuggled-request",
            "hide a second request without a token in the first one's body",
            GATEWAY
            + "inner = 'GET /v1/models HTTP/1.1\\r\\nHost: g\\r\\n\\r\\n'\n"
            + "for path in PROVIDERS:\n"
            + "    for extra in ('Transfer-Encoding: chunked', 'Transfer-Encoding: xchunked', "
            + "'Transfer-Encoding : chunked', 'Content-Length: 5'):\n"
            + "        said = ask(f'POST {path} HTTP/1.1\\r\\nHost: g\\r\\nAuthorization: Bearer {token}"
            + "\\r\\nContent-Length: {len(inner) + 5}\\r\\n{extra}\\r\\n\\r\\n0\\r\\n\\r\\n{inner}')\n"
            + "        if said.count('HTTP/1.1 200') > 1:\n"
            + "            print('PWNED', extra, said)\n",
            "every request on a connection is judged separately, with h11's strict framing",
            language="python",
            opened=False,
            closed=NO_GATEWAY,
        ),
    ),
)
