"""What is wrong with the disk, in words that name the mend and no path."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping

_KNOWN: Mapping[int, str] = {
    errno.ENOSPC: "the disk is full (no space left): free some, or grow the file system",
    errno.EDQUOT: "the disk quota is used up: free some space, or raise the quota",
    errno.EFBIG: "a file may not grow further (file size limit): raise the limit",
    errno.EROFS: "the file system is read-only: mount it writable",
    errno.EIO: "the disk fails (input/output error): look at the disk",
    errno.EMFILE: "too many files are open: raise the limit of open files",
    errno.ENFILE: "too many files are open on this machine: raise its limit",
    errno.EACCES: "writing is not permitted: give the service's user the state directory",
}


def words(error: BaseException | str) -> str:
    """Why the log cannot be written. The database tells errors of the system in its own text."""
    if isinstance(error, OSError) and (told := _KNOWN.get(error.errno or 0)):
        return told
    text = str(error).lower()
    for number, told in _KNOWN.items():
        if os.strerror(number).lower() in text:
            return told
    if "no space left" in text:
        return _KNOWN[errno.ENOSPC]
    if "invalidated" in text or "fatal" in text:
        return "the database broke down and is being opened anew"
    name = "a commit failed" if isinstance(error, str) else type(error).__name__
    return f"the log's file cannot be written ({name}); the service's log says more"
