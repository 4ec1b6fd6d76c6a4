"""Becoming more than the agent's user, and the kernel's back doors."""

from __future__ import annotations

from tests.attacks.attack import Attack, AttackClass

NO_NEW = "no-new-privileges, no capabilities, an empty bounding set"
SECCOMP = "a filter of system calls (seccomp)"

CALL = """
import ctypes, os, platform
libc = ctypes.CDLL(None, use_errno=True)
X86 = platform.machine() == "x86_64"
def call(x86, arm, *args):
    found = libc.syscall(x86 if X86 else arm, *args)
    return found if found >= 0 else -ctypes.get_errno()
"""

_MOUNT = (
    CALL
    + """
libc.unshare(0x00020000)
os.makedirs("/tmp/m", exist_ok=True)
if libc.mount(None, b"/", None, 0x4000 | 0x40000, None) == 0:
    if libc.mount(b"none", b"/tmp/m", b"tmpfs", 0, None) == 0:
        print("PWNED")
"""
)

_PTRACE = (
    CALL
    + """
PTRACE_SEIZE, above = 0x4206, {os.getpid(), os.getppid()}
for pid in sorted(int(p) for p in os.listdir("/proc") if p.isdigit()):
    try:
        said = open(f"/proc/{pid}/cmdline", "rb").read()
        mine = os.stat(f"/proc/{pid}").st_uid == os.geteuid() and os.geteuid() != 0
    except OSError:
        continue
    if pid in above or mine or not (b"rover" in said or pid == 1):
        continue
    if libc.ptrace(PTRACE_SEIZE, pid, None, None) == 0:
        print("PWNED", pid, said)
        break
"""
)

_FAMILIES = """
import socket
# AF_VSOCK, AF_PACKET, AF_BLUETOOTH, AF_ALG, AF_XDP
for family, kind in ((40, 1), (17, 3), (31, 5), (38, 5), (44, 3)):
    try:
        socket.socket(family, kind)
        print("PWNED", family)
    except OSError as error:
        print(family, error)
"""

_KEYS = (
    CALL
    + """
key = call(248, 217, b"user", b"rover-attack", b"x", 1, -3)
if key > 0:
    print("PWNED add_key")
for ring in (-1, -2, -3, -4, -5):
    if call(250, 219, 0, ring, 0) > 0:
        print("PWNED keyctl", ring)
"""
)

_CALLS = (
    CALL
    + """
empty = ctypes.create_string_buffer(256)
tried = {
    "bpf": call(321, 280, 5, empty, 120),
    "perf_event_open": call(298, 241, empty, 0, -1, -1, 0),
    "userfaultfd": call(323, 282, 1),
    "io_uring_setup": call(425, 425, 1, empty),
    "open_tree": call(428, 428, -100, b"/", 1),
    "fsopen": call(430, 430, b"tmpfs", 0),
    "init_module": call(175, 105, empty, 0, b""),
    "kexec_load": call(246, 104, 0, 0, None, 0),
    "settimeofday": call(164, 170, None, empty),
}
for name, result in tried.items():
    print(name, result)
    if result not in (-1, -38, -13):
        print("PWNED", name)
"""
)

CLASS = AttackClass(
    "root",
    "root, capabilities, the kernel",
    (
        Attack(
            "setuid-zero",
            "become root by asking",
            "import os\nos.setuid(0)\nprint('PWNED')",
            NO_NEW,
            language="python",
        ),
        Attack(
            "set-user-id-programs",
            "become root through programs that are set-user-id",
            "echo | su -c 'echo PWNED' root; sudo -n echo PWNED; "
            'cp /usr/bin/id ./id; chmod 6755 ./id; [ "$(./id -u)" = 0 ] && echo PWNED; rm -f ./id',
            NO_NEW,
        ),
        Attack(
            "user-namespace",
            "become root of a user namespace",
            "unshare -Ur true && echo PWNED; "
            "python3 -c 'import ctypes; exit(ctypes.CDLL(None).unshare(0x10000000))' && echo PWNED",
            "user namespaces are closed inside",
        ),
        Attack(
            "capabilities",
            "have or raise a capability",
            "grep -E '^Cap(Inh|Prm|Eff|Bnd|Amb)' /proc/self/status | grep -qv 0000000000000000 "
            "&& echo PWNED",
            NO_NEW,
        ),
        Attack("mount", "mount a file system", _MOUNT, NO_NEW, language="python"),
        Attack(
            "ptrace",
            "take over the runner, the daemon or the init with ptrace",
            _PTRACE,
            "other users' processes cannot be traced",
            language="python",
        ),
        Attack(
            "kernel-settings",
            "set the host's kernel: core_pattern, sysrq, cgroups",
            "f=/proc/sys/kernel/core_pattern; v=$(cat $f); { printf '%s' \"$v\" > $f; } 2>/dev/null "
            "&& echo PWNED; { echo h > /proc/sysrq-trigger; } 2>/dev/null && echo PWNED; "
            "find /sys/fs/cgroup -maxdepth 2 -name cgroup.procs -writable 2>/dev/null | grep -q . "
            "&& echo PWNED",
            "/proc and /sys read-only",
        ),
        Attack(
            "socket-families",
            "reach the hypervisor, the wire or the kernel through other kinds of sockets",
            _FAMILIES,
            SECCOMP,
            language="python",
        ),
        Attack(
            "kernel-keyrings",
            "read the user's keys in the kernel's keyrings",
            _KEYS,
            SECCOMP,
            language="python",
        ),
        Attack(
            "dangerous-calls",
            "use system calls that have often been a way out (bpf, io_uring, userfaultfd ...)",
            _CALLS,
            SECCOMP,
            language="python",
        ),
    ),
)
