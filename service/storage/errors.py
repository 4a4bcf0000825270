"""What can go wrong with what is kept.

StorageError
├── StateLocked       another process owns the state directory
├── DatabaseCorrupt   the file cannot be opened as a database
├── SchemaNewer       written by a newer version of Headgate
├── ReadFailed        a read of the live file failed: a damaged block, or the file was lost
└── WriteFailed       a batch could not be committed; nothing of it was kept
    ├── RowsRefused       a row in it is one that the database does not take
    └── DatabaseInvalid   the database broke down over it: open it anew, then see what was kept
"""

from __future__ import annotations


class StorageError(Exception):
    """Base of everything that storage raises."""


class StateLocked(StorageError):
    """Another process owns the state directory."""


class DatabaseCorrupt(StorageError):
    """The file cannot be opened as a database."""


class SchemaNewer(StorageError):
    """Written by a newer version of Headgate."""


class WriteFailed(StorageError):
    """A batch could not be committed; nothing of it was kept."""


class ReadFailed(StorageError):
    """A read of the live file failed: a damaged block, or the file was lost."""


class RowsRefused(WriteFailed):
    """A row of the batch is one that the database does not take; nothing of it was kept."""


class DatabaseInvalid(WriteFailed):
    """The database broke down over a commit. Whether that commit was kept is seen by opening the
    file anew: a commit may be durable although it ended so.
    """
