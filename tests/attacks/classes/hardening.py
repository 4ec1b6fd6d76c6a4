"""What every process of an agent's must be closed by, looked at by such a process itself: each
attack wins where one of the defaults is missing."""

from __future__ import annotations

from tests.attacks.attack import Attack, AttackClass

_FILTERED = """
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
found = {name: status[name].strip() for name in ("Seccomp", "NoNewPrivs")}
print(found)
if found != {"Seccomp": "2", "NoNewPrivs": "1"}:
    print("PWNED", found)
"""

_WRITABLE = """
import os
OURS = ("/workspace", "/home/agent", "/tmp", "/dev", "/dev/shm", "/dev/mqueue")
for line in open("/proc/self/mountinfo"):
    place, options = line.split()[4:6]
    if place in OURS or not os.path.isdir(place):
        continue
    # Whatever its options say: it is tried.
    try:
        os.close(os.open(f"{place}/.rover-attack", os.O_CREAT | os.O_WRONLY))
        print("PWNED", place, options)
    except OSError as error:
        print(place, options, error)
"""

_MOUNT_FLAGS = """
mounts = [line.split() for line in open("/proc/self/mountinfo")]
options = {m[4]: set(m[5].split(",")) for m in mounts}
kinds = {m[4]: m[m.index("-") + 1] for m in mounts}
wanted = {"/tmp": {"nosuid", "nodev"}, "/proc": {"nosuid", "nodev", "noexec"},
          "/dev": {"nosuid"}, "/dev/shm": {"nosuid", "nodev"}, "/sys": {"ro", "nosuid", "nodev"},
          "/sys/fs/cgroup": {"nosuid", "nodev", "noexec"}}
for place, flags in wanted.items():
    missing = flags - options.get(place, flags)
    print(place, sorted(options.get(place, ())))
    if missing:
        print("PWNED", place, missing)
"""

_DEVICES = """
import os, stat
USUAL = {"null", "zero", "full", "random", "urandom", "tty", "console", "ptmx"}
for folder, _, names in os.walk("/dev"):
    for name in names:
        facts = os.lstat(f"{folder}/{name}")
        if stat.S_ISBLK(facts.st_mode) or (
            stat.S_ISCHR(facts.st_mode) and name not in USUAL and folder != "/dev/pts"):
            print("PWNED", folder, name)
"""

_MADE_DEVICES = """
import os, stat
# The memory, and the first disk of many machines: made, never opened.
for number in ((1, 1), (8, 0), (254, 0)):
    for kind in (stat.S_IFCHR, stat.S_IFBLK):
        for place in ("/tmp", ".", os.environ["HOME"]):
            path = f"{place}/device-{number[0]}"
            try:
                os.mknod(path, kind | 0o600, os.makedev(*number))
                print("PWNED", path)
                os.unlink(path)
            except OSError as error:
                print(path, error)
"""

# Opened, not written.
_SETTINGS = """
import os
opened = 0
def tried(path, flags):
    global opened
    try:
        os.close(os.open(path, flags | os.O_NONBLOCK))
    except OSError:
        return
    opened += 1
    if opened <= 5:
        print("PWNED", path)
for top in ("/proc/sys", "/proc/irq", "/sys/kernel", "/sys/fs/cgroup", "/sys/class", "/sys/module"):
    for folder, _, names in os.walk(top):
        for name in names:
            tried(f"{folder}/{name}", os.O_WRONLY)
for path in ("/proc/sysrq-trigger", "/proc/mtrr", "/proc/acpi/wakeup", "/proc/1/oom_score_adj"):
    tried(path, os.O_WRONLY)
for path in ("/proc/kcore", "/dev/mem", "/dev/kmsg"):
    tried(path, os.O_RDONLY)
"""

_ORPHANS = """
import os, time
waits, goes = os.pipe()
if os.fork() == 0:
    if os.fork() == 0:
        os.close(goes)
        os.read(waits, 1)
        os._exit(0)
    os._exit(0)
os.wait()
# Their parent has ended: they are the init's. Now they end.
os.close(goes)
end = time.monotonic() + 9
def dead():
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            state = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
        except OSError:
            continue
        if state[0] == "Z":
            yield pid, state[1]
left = list(dead())
while left and time.monotonic() < end:
    time.sleep(0.01)
    left = list(dead())
if left:
    print("PWNED", "not reaped:", left)
"""

_NAME = """
import socket
print(socket.gethostname())
if socket.gethostname() != "rover":
    print("PWNED")
try:
    socket.sethostname("pwned")
    print("PWNED")
except OSError as error:
    print(error)
"""

CLASS = AttackClass(
    "hardening",
    "what every sandbox is closed by",
    (
        Attack(
            "unfiltered",
            "run without a filter of system calls, or able to gain privileges",
            _FILTERED,
            "seccomp and no-new-privileges, on every process that the runner starts",
            language="python",
        ),
        Attack(
            "writable-mounts",
            "write to a mount that is not the task's own",
            _WRITABLE,
            "read-only mounts; the runner's folder is root's",
            language="python",
            opened=False,
            closed="it would write all over this machine",
        ),
        Attack(
            "mount-flags",
            "use a device or a set-user-id file on what is mounted for the sandbox",
            _MOUNT_FLAGS,
            "nosuid and nodev; on volumes, no-new-privileges and no way to make a device",
            language="python",
            opened=False,
            closed="it depends on how this machine is mounted",
        ),
        Attack(
            "devices",
            "find a device of the host's",
            _DEVICES,
            "a /dev with the usual few",
            language="python",
        ),
        Attack(
            "made-devices",
            "make a device: the memory, a disk",
            _MADE_DEVICES,
            "no capabilities",
            language="python",
        ),
        Attack(
            "settings-open",
            "open anything of /proc or /sys that sets the kernel or shows its memory",
            _SETTINGS,
            "/proc and /sys read-only or not there, and another user's",
            language="python",
        ),
        Attack(
            "orphans",
            "fill the table of processes with dead ones that are never reaped",
            _ORPHANS,
            "the first process reaps",
            language="python",
            opened=False,
            closed="this machine's first process reaps, too",
        ),
        Attack(
            "host-name",
            "learn or set the host's name",
            _NAME,
            "a name space of its own, with the same name for all",
            language="python",
        ),
    ),
)
