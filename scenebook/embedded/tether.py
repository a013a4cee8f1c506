"""Exec one program tied to its parent: signalled when the parent dies, and never run as root.

Run by path with `python -I -S`, between fork and exec, because code in a `preexec_fn` can deadlock
in a process that has threads. Arguments: PARENT_PID SIGNAL UID GID PROGRAM ARGUMENT…, where UID
and GID are -1 to stay who we are.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG, PR_SET_KEEPCAPS, PR_CAP_AMBIENT = 1, 8, 47
PR_CAP_AMBIENT_RAISE = 2
CAPABILITY_VERSION_3 = 0x20080522
CAP_DAC_OVERRIDE = 1

libc = ctypes.CDLL(None, use_errno=True)


def become(uid: int, gid: int) -> None:
    """Drop root for another account, keeping only the right to pass closed directories.

    Postgres refuses to run as root, yet its binaries and its data may lie below a directory such
    as root's home that no other account may enter. Opening those directories for everybody is
    what we must not do, so the process keeps CAP_DAC_OVERRIDE across setuid and exec. Where the
    kernel refuses that, the program starts without it and works if the directories are open.
    """
    libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    mask = 1 << CAP_DAC_OVERRIDE
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    # Two triples of (effective, permitted, inheritable): capabilities 0-31, then 32-63.
    wanted = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)
    if libc.capset(header, wanted) == 0:
        libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0)


def main() -> None:
    """Become the account, tie to the parent, then become the program."""
    parent, death_signal, uid, gid = (int(text) for text in sys.argv[1:5])
    if uid >= 0:
        become(uid, gid)
    # After setuid, which clears it; it survives the exec.
    libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent:  # it died before we asked to be told
        raise SystemExit(1)
    os.execv(sys.argv[5], sys.argv[5:])


if __name__ == "__main__":
    main()
