"""What can go wrong with what is kept.

StorageError
├── StateLocked       another process owns the state directory
├── DatabaseCorrupt   the file cannot be opened as a database
├── SchemaNewer       written by a newer version of Headgate
└── WriteFailed       a batch could not be committed; nothing of it was kept
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
