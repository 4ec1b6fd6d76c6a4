"""An agent that speaks the Agent Client Protocol and does what its orders say: one JSON object a
line, of {"answer": method, "with": {...}} and {"say": {...}}; what it heard goes to a file."""

import json
import sys

orders, heard = sys.argv[1], sys.argv[2]


def send(message):
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def hear():
    line = sys.stdin.readline()
    if not line:
        sys.exit(3)
    with open(heard, "a") as log:  # noqa: PTH123
        log.write(line)
    return json.loads(line)


with open(orders) as file:  # noqa: PTH123
    for order in map(json.loads, file):
        if "say" in order:
            send(order["say"])
        elif "hear" in order:
            hear()
        else:
            message = hear()
            assert message["method"] == order["answer"], message
            send({"id": message["id"], **order["with"]})
if orders.endswith("stay"):
    sys.stdin.read()
