"""The system-call filters of the sandbox, compiled by libseccomp.

`outer_filter` holds for everything in the sandbox: no sockets, no mounts, no namespaces, no tracing, no loading of
kernel code. `inner_filter` holds for a program: besides, no new processes; threads are allowed.
"""

from __future__ import annotations

import errno
import functools
import importlib
import os
from typing import Any

from educe.core.errors import CapabilityError

__all__ = ["inner_filter", "outer_filter"]

FORBIDDEN = [
    "acct",
    "add_key",
    "bpf",
    "chroot",
    "clock_adjtime",
    "clock_settime",
    "delete_module",
    "finit_module",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "init_module",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "ioperm",
    "iopl",
    "kcmp",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "mount",
    "mount_setattr",
    "move_mount",
    "name_to_handle_at",
    "nfsservctl",
    "open_by_handle_at",
    "open_tree",
    "perf_event_open",
    "personality",
    "pidfd_getfd",
    "pivot_root",
    "process_madvise",
    "process_vm_readv",
    "process_vm_writev",
    "ptrace",
    "quotactl",
    "reboot",
    "request_key",
    "setdomainname",
    "sethostname",
    "setns",
    "settimeofday",
    "socket",
    "swapoff",
    "swapon",
    "syslog",
    "umount2",
    "unshare",
    "userfaultfd",
    "vhangup",
]
# The flags of clone that make namespaces: time, mount, cgroup, uts, ipc, user, pid, net.
NAMESPACES = (0x80, 0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000)
CLONE_THREAD = 0x00010000


def _seccomp() -> Any:
    try:
        return importlib.import_module("pyseccomp")
    except (ImportError, OSError, RuntimeError) as error:
        raise CapabilityError(
            f"The sandbox needs libseccomp and its Python binding ({error}). Install Debian's libseccomp2 and "
            "run: pip install 'educe[sandbox]'"
        ) from error


def _exported(rules: Any) -> bytes:
    file = os.memfd_create("filter")
    try:
        with os.fdopen(os.dup(file), "wb") as target:
            rules.export_bpf(target)
        return os.pread(file, 2**20, 0)
    finally:
        os.close(file)


def _refusing(names: tuple[str, ...] | list[str]) -> Any:
    seccomp = _seccomp()
    rules = seccomp.SyscallFilter(seccomp.ALLOW)
    for name in names:
        try:
            rules.add_rule(seccomp.ERRNO(errno.EPERM), name)
        except OSError:
            continue  # a call that this kernel or processor does not have
    # Its flags lie in memory, where a filter cannot look; the C library then takes clone.
    rules.add_rule(seccomp.ERRNO(errno.ENOSYS), "clone3")
    return rules


@functools.cache
def outer_filter() -> bytes:
    """Return the filter for everything in the sandbox as BPF instructions of 8 bytes each."""
    seccomp = _seccomp()
    rules = _refusing(FORBIDDEN)
    for flag in NAMESPACES:
        rules.add_rule(seccomp.ERRNO(errno.EPERM), "clone", seccomp.Arg(0, seccomp.MASKED_EQ, flag, flag))
    return _exported(rules)


@functools.cache
def inner_filter() -> bytes:
    """Return the filter that a program gets besides, as BPF instructions of 8 bytes each."""
    seccomp = _seccomp()
    rules = _refusing(["fork", "vfork", "execve", "execveat"])
    rules.add_rule(seccomp.ERRNO(errno.EPERM), "clone", seccomp.Arg(0, seccomp.MASKED_EQ, CLONE_THREAD, 0))
    return _exported(rules)
