"""Runs a program under the system call filter of a systemd unit: under_filter.py UNIT PROGRAM [ARGUMENT…]

What it puts into force is SystemCallFilter=, RestrictAddressFamilies= and MemoryDenyWriteExecute=, as systemd would.
What is not allowed fails with EPERM. Needs systemd-analyze and Debian's python3-seccomp.
"""

import errno
import os
import socket
import subprocess
import sys

import seccomp

PROT_WRITE, PROT_EXEC = 2, 4


def settings(unit):
    """Each key of the unit with all its values, in order."""
    found = {}
    with open(unit) as lines:
        for line in lines:
            key, equals, value = line.strip().partition("=")
            if equals and not key.startswith("#"):
                found.setdefault(key, []).append(value)
    return found


def calls(group):
    """The system calls of a group of systemd's, and of the groups in it; or the one call that is named."""
    if not group.startswith("@"):
        yield group
        return
    listed = subprocess.run(
        ["systemd-analyze", "syscall-filter", "--no-pager", group], check=True, capture_output=True, text=True
    )
    names = [line.strip() for line in listed.stdout.splitlines()[1:]]
    for name in names:
        if name.startswith("@"):
            yield from calls(name)
        elif name and not name.startswith("#"):
            yield name


def allowed_calls(filters):
    allowed = set(calls("@default"))
    for value in filters:
        of_groups = {name for word in value.lstrip("~").split() for name in calls(word)}
        allowed = allowed - of_groups if value.startswith("~") else allowed | of_groups
    return allowed | set(calls("@default"))


def main():
    unit, *command = sys.argv[1:]
    keys = settings(unit)
    allowed = allowed_calls(keys["SystemCallFilter"])
    families = [getattr(socket, name) for name in keys["RestrictAddressFamilies"][0].split()]
    assert len(allowed) > 200 and families and keys["MemoryDenyWriteExecute"] == ["yes"]

    refuse = seccomp.ERRNO(errno.EPERM)
    enforced = seccomp.SyscallFilter(defaction=refuse)
    special = {"socket", "mmap", "mprotect", "pkey_mprotect"}
    for name in sorted(allowed - special):
        try:
            enforced.add_rule(seccomp.ALLOW, name)
        except (RuntimeError, ValueError):
            pass  # A call of other machines, or newer than the library.
    for family in families:
        enforced.add_rule(seccomp.ALLOW, "socket", seccomp.Arg(0, seccomp.EQ, family))
    # Memory may be written or executed, and what was written may not be executed later.
    for protection in (PROT_WRITE, PROT_EXEC, 0):
        forbidden = PROT_WRITE | PROT_EXEC
        enforced.add_rule(seccomp.ALLOW, "mmap", seccomp.Arg(2, seccomp.MASKED_EQ, forbidden, protection))
    enforced.add_rule(seccomp.ALLOW, "mprotect", seccomp.Arg(2, seccomp.MASKED_EQ, PROT_EXEC, 0))
    enforced.load()
    os.execv(command[0], command)


main()
