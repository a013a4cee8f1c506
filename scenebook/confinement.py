"""Takes from this process what its work does not need: files, the network, new privileges."""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterable
from pathlib import Path

_PR_SET_NO_NEW_PRIVS = 38  # linux/prctl.h
# linux/landlock.h; the numbers of the calls are the same on every processor.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_GET_VERSION, _PATH_BENEATH = 1, 1
_WRITE_FILE, _READ_FILE, _READ_DIR, _REMOVE_FILE = 1 << 1, 1 << 2, 1 << 3, 1 << 5
_MAKE_REGULAR, _TRUNCATE = 1 << 8, 1 << 14
_READ = _READ_FILE | _READ_DIR
_WRITE = _READ | _WRITE_FILE | _REMOVE_FILE | _MAKE_REGULAR | _TRUNCATE
_OF_FILES = _READ_FILE | _WRITE_FILE | _TRUNCATE
# How many rights to files a version of Landlock knows; all of them are taken away.
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
_NEWEST_RIGHTS = 16

_libc = ctypes.CDLL(None, use_errno=True)


def no_new_privileges() -> None:
    """From now on no program that this process starts can gain rights, setuid or not."""
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS) failed")


def confine(*, read: Iterable[Path], write: Iterable[Path]) -> bool:
    """Let this process reach these files and folders alone, start no program, and call nobody.

    What it has open stays open. It also loses sight of other processes' environments and memory.
    False if the kernel has no Landlock, which is an extra: nothing is restricted then.
    Call it before there is a second thread, and after `no_new_privileges`.
    """
    version = _libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _GET_VERSION)
    if version < 1:
        return False
    rights = (1 << _RIGHTS.get(version, _NEWEST_RIGHTS)) - 1
    # TCP from version 4; abstract sockets and signals to others from version 6.
    handled = struct.pack("=QQQ", rights, 0b11, 0b11)[
        : 8 if version < 4 else 16 + 8 * (version > 5)
    ]
    ruleset = _checked(_libc.syscall(_CREATE_RULESET, handled, ctypes.c_size_t(len(handled)), 0))
    try:
        for paths, allowed in ((read, _READ), (write, _WRITE)):
            for path in paths:
                _allow(ruleset, path, allowed & rights)
        _checked(_libc.syscall(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)
    return True


def _allow(ruleset: int, path: Path, allowed: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what cannot be opened now is not needed later
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            allowed &= _OF_FILES
        rule = struct.pack("=Qi", allowed, place)
        _checked(_libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0))
    finally:
        os.close(place)


def _checked(result: int) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"Landlock failed: {os.strerror(error)}")
    return result
