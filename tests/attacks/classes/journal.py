"""The record of the run, its orders and the runner itself."""

from __future__ import annotations

from tests.attacks.attack import Attack, AttackClass

OUT_OF_REACH = "the run folder is another user's (containers), or not mounted (bubblewrap)"
READ_ONLY = "mounted read-only"

_FOLDERS = (
    "S=${ROVER_SPEC:-/rover/spec}; R=$(python3 -c 'import json,sys; "
    'print(json.load(open(sys.argv[1]))["paths"]["run"])\' $S/spec.json); '
)

_THROUGH_DESCRIPTORS = """
import os
for pid in os.listdir("/proc"):
    if not pid.isdigit():
        continue
    try:
        numbers = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        continue
    for number in numbers:
        path = f"/proc/{pid}/fd/{number}"
        try:
            if "journal.jsonl" in os.readlink(path):
                with open(path, "ab") as file:
                    file.write(b"x")
                print("PWNED", path)
        except OSError:
            continue
"""

_SIGNALS = """
import os
for pid in os.listdir("/proc"):
    if not pid.isdigit() or int(pid) == os.getpid():
        continue
    try:
        said = open(f"/proc/{pid}/cmdline", "rb").read()
        if os.geteuid() != 0 and os.stat(f"/proc/{pid}").st_uid == os.geteuid():
            continue
        if b"agent_runner" in said or b"rover_mcp" in said or b"dockerd" in said:
            os.kill(int(pid), 0)
            print("PWNED", pid, said)
    except OSError:
        continue
"""

_FAKED = """
import json, sys
for seq in (2, 3, 99):
    for kind in ("step_complete", "workflow_complete"):
        record = {"v": 1, "schema": 1, "seq": seq, "at": "2030-01-01T00:00:00Z", "type": kind,
                  "data": {"step": "journal", "outputs": {"faked": "faked-record"}}, "crc": 0}
        for stream in (sys.stdout, sys.stderr):
            print(json.dumps(record), file=stream)
for line in ("snapshot " + " ".join(["1" * 40] * 3), "finished " + "1" * 40, "bundled", "ready"):
    print("rover " + line, file=sys.stderr)
"""

CLASS = AttackClass(
    "journal",
    "the journal, the orders, the runner",
    (
        Attack(
            "write-journal",
            "append to the journal",
            _FOLDERS + "for j in $R/journal.jsonl /rover/run/journal.jsonl; do "
            "{ echo x >> $j; } 2>/dev/null && echo PWNED; done",
            OUT_OF_REACH,
        ),
        Attack(
            "read-journal",
            "read the journal",
            _FOLDERS + "cat $R/journal.jsonl /rover/run/journal.jsonl | grep -q . && echo PWNED",
            OUT_OF_REACH,
        ),
        Attack(
            "journal-through-links",
            "have the runner write elsewhere: links in place of the journal, its logs and bundles",
            _FOLDERS + "for d in $R /rover/run; do for f in journal.jsonl logs bundles; do "
            "ln -sfn /workspace/$f $d/$f 2>/dev/null && echo PWNED; done; done",
            OUT_OF_REACH,
        ),
        Attack(
            "journal-through-descriptors",
            "write through the runner's open files",
            _THROUGH_DESCRIPTORS,
            "another user's processes cannot be looked into, nor is the host's runner seen",
            language="python",
        ),
        # The last two spoil the files that the others read, where nothing keeps them from it.
        Attack(
            "pause-request",
            "ask the host to pause, in the user's name",
            _FOLDERS + "for d in $R /rover/run; do "
            '{ echo \'{"reason": "requested"}\' > $d/pause-requested; } 2>/dev/null && echo PWNED; '
            "done",
            OUT_OF_REACH,
        ),
        Attack(
            "plant-bundle",
            "put a bundle of one's own where the host takes them from",
            _FOLDERS + "for d in $R /rover/run; do "
            # An attack before this one may have left a link there, and mkdir does not follow it.
            "rm -rf $d/bundles 2>/dev/null; "
            "{ mkdir -p $d/bundles && echo x > $d/bundles/000009.bundle; } 2>/dev/null && echo PWNED; "
            "done",
            OUT_OF_REACH,
        ),
        Attack(
            "replace-folders",
            "move the run and spec folders away and put others in their place",
            _FOLDERS + "for d in $R $S /rover/run /rover/spec; do "
            "mv $d $d.old 2>/dev/null && mkdir $d && echo PWNED; done",
            "mount points, on a read-only root",
        ),
        Attack(
            "write-orders",
            "change spec.json and the workflow",
            _FOLDERS
            + "chmod u+w $S $S/*; for f in $S/spec.json $S/workflow.yaml $S/script.yaml; do "
            "{ echo '#' >> $f; } 2>/dev/null && echo PWNED; done; "
            "rm $S/script.yaml 2>/dev/null && echo PWNED",
            READ_ONLY,
        ),
        Attack(
            "replace-programs",
            "change the runner's library, or the programs that it starts",
            "for d in /opt/rover /opt/rover/lib /opt/rover/lib/agent_runner /opt/rover/bin "
            "/usr/local/bin /usr/bin /usr/sbin /bin /usr/lib/python3* /usr/local/lib /etc "
            "/etc/profile.d; do touch $d/x 2>/dev/null && echo PWNED $d; done; "
            "for f in /etc/ld.so.preload /etc/profile /etc/bash.bashrc /etc/gitconfig /etc/passwd; do "
            "{ echo >> $f; } 2>/dev/null && echo PWNED $f; done",
            "a read-only root",
            opened=False,
            closed="it would change this machine's programs",
        ),
        Attack(
            "signal-runner",
            "send the runner, the daemon or the engine a signal",
            _SIGNALS,
            "another user's process (containers), or not seen at all (bubblewrap)",
            language="python",
        ),
        Attack(
            "replace-gateway",
            "put a listener of one's own in the gateway's place",
            "rm -f /rover/gateway/gateway.sock && echo PWNED; touch /rover/gateway/x && echo PWNED",
            READ_ONLY,
            opened=False,
            closed="without a sandbox there is no gateway",
        ),
        Attack(
            "fake-records",
            "print what looks like the runner's records and reports",
            _FAKED,
            "records are written by the runner alone; what a command prints is its output",
            language="python",
            opened=False,
            closed="there is no runner to be misled",
        ),
    ),
)
