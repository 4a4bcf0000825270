"""What is wrong with the disk is told in words, with a mend and without a path."""

from __future__ import annotations

import errno
import os

import pytest

from service.storage.errors import DatabaseInvalid, WriteFailed
from service.storage.trouble import words


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EIO, "input/output"),
        (errno.EMFILE, "too many files"),
        (errno.EFBIG, "may not grow"),
        (errno.EACCES, "not permitted"),
    ],
)
def test_an_error_of_the_system_is_told_however_it_comes(number: int, told: str) -> None:
    direct = words(OSError(number, os.strerror(number), "/secret/place"))
    through = words(WriteFailed(f'Could not write file "/secret/place": {os.strerror(number)}'))
    assert told in direct and direct == through and "/secret" not in direct and ":" in direct


def test_what_is_not_known_is_named_by_its_kind_alone() -> None:
    assert "OverflowError" in words(OverflowError("/secret/place")) + ""
    assert "secret" not in words(OverflowError("/secret/place"))
    assert "opened anew" in words(DatabaseInvalid("FATAL Error: database has been invalidated"))
