"""What lies on the host and in other tasks: to be read, to be written."""

from __future__ import annotations

from tests.attacks.attack import Attack, AttackClass

NOT_MOUNTED = "only the task's own folders are mounted"

_CONNECT = """
import socket
s = socket.socket(socket.AF_UNIX)
s.settimeout(300)
s.connect("{}")
print("PWNED")
"""

# The classic "shocker": from any file of a mounted disk to every other one, by its number.
_BY_HANDLE = """
import ctypes, os
kind, data = "@HANDLE@".split(":")
raw = bytes.fromhex(data)
handle = len(raw).to_bytes(4, "little") + int(kind).to_bytes(4, "little") + raw
libc = ctypes.CDLL(None, use_errno=True)
for place in ("/rover/base/objects", "/workspace", "/rover/spec", "@PUBLIC@"):
    try:
        mount = os.open(place, os.O_RDONLY)
    except OSError:
        continue
    found = libc.open_by_handle_at(mount, handle, os.O_RDONLY)
    if found >= 0:
        print(os.read(found, 1000))
"""

CLASS = AttackClass(
    "files",
    "files of the host and of other tasks",
    (
        Attack(
            "read-host-home",
            "read keys in the user's home",
            "cat @HOME@/.ssh/id_ed25519 @HOME@/.netrc @HOME@/.aws/credentials",
            NOT_MOUNTED,
        ),
        Attack("read-public-file", "read a file that all may read", "cat @PUBLIC@", NOT_MOUNTED),
        Attack(
            "read-through-proc",
            "read through another process's root or working folder",
            "for p in $(ls -d /proc/[0-9]* | head -12); do "
            "cat $p/root@PUBLIC@ $p/cwd/../../../../..@PUBLIC@; done",
            "a process namespace of its own: no other root is seen",
        ),
        Attack(
            "read-through-links",
            "read through symbolic links and parent folders",
            "ln -sf @PUBLIC@ ./out; cat ./out; rm ./out; "
            "cat /workspace/../../../..@PUBLIC@ ../../../../../../../..@PUBLIC@",
            NOT_MOUNTED,
        ),
        Attack(
            "read-by-handle",
            "open a host's file by its inode number (open_by_handle_at)",
            _BY_HANDLE,
            "no CAP_DAC_READ_SEARCH",
            language="python",
        ),
        Attack(
            "read-user-repository",
            "read what the user has not committed, and secrets in the repository's configuration",
            "cat @REPO@/.env @REPO@/.git/config",
            "a clone of the commits only; the user's repository is not mounted",
        ),
        Attack(
            "write-host-file",
            "write a file where everybody may",
            "echo x > @TROPHIES@/write-host-file",
            NOT_MOUNTED,
        ),
        Attack(
            "link-host-file",
            "make a hard link to a host's file in the work tree",
            "ln @PUBLIC@ @TROPHIES@/link-host-file; ln @PUBLIC@ hard && cat hard; rm -f hard",
            NOT_MOUNTED,
        ),
        Attack(
            "read-other-task",
            "read another task's work tree and home",
            "cat @DATA@/tasks/@VICTIM@/work/secret.txt @DATA@/tasks/@VICTIM@/home/secret.txt; "
            "cat /rover/../tasks/@VICTIM@/work/secret.txt; "
            "grep -rs canary-other-task /workspace /home/agent /rover 2>/dev/null",
            NOT_MOUNTED,
        ),
        Attack(
            "read-hub",
            "read the hub, where every task's snapshots are",
            "cat @DATA@/projects/*/hub.git/HEAD && echo PWNED",
            "only the objects of the user's own history are mounted",
        ),
        Attack(
            "other-snapshots",
            "find another task's objects among those that are mounted",
            "for r in /rover/base @DATA@/projects/*/hub.git; do "
            "git --git-dir=$r for-each-ref 2>/dev/null | grep -q snapshots/ && echo PWNED; done",
            "snapshots are in the hub, which is mounted nowhere",
        ),
        Attack(
            "read-database",
            "read tokens and tasks in the daemon's database",
            "cat @DATA@/rover.db* | grep -aq gateway_token && echo PWNED",
            NOT_MOUNTED,
        ),
        Attack(
            "daemon-socket",
            "command the daemon through its socket",
            _CONNECT.format("@ROVERD_SOCK@"),
            NOT_MOUNTED,
            language="python",
        ),
        Attack(
            "engine-socket",
            "command the container engine through its socket",
            "for s in @DOCKER_SOCK@ @PODMAN_SOCK@ /var/run/docker.sock /run/docker.sock /run/podman/podman.sock "
            "/run/containerd/containerd.sock; do "
            "[ -S $s ] && curl -s -m 2 --unix-socket $s http://d/version; "
            "[ -S $s ] && python3 -c 'import socket,sys; s=socket.socket(socket.AF_UNIX); "
            's.connect(sys.argv[1]); print("PWNED")\' $s; done',
            NOT_MOUNTED,
        ),
        Attack(
            "ssh-agent",
            "use the user's ssh agent",
            _CONNECT.format("@SSH_SOCK@"),
            NOT_MOUNTED,
            language="python",
        ),
        Attack(
            "devices",
            "read the host's disks and memory through devices, made or found",
            "mknod /tmp/d b 254 0 && head -c 16 /tmp/d && echo PWNED; "
            "mknod /tmp/m c 1 1 && head -c 1 /tmp/m && echo PWNED; "
            "for d in /dev/vd? /dev/sd? /dev/nvme?n? /dev/dm-* /dev/mem /dev/kmsg /dev/kvm "
            "/dev/fuse /dev/vsock; do [ -e $d ] && head -c 16 $d && echo PWNED; done",
            "no CAP_MKNOD, and a /dev with harmless devices only",
            opened=False,
            closed="which devices a machine has differs",
        ),
    ),
)
