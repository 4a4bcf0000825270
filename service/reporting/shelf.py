"""Where reviews are kept: `reports/` of the state directory, written aside and renamed."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from experiments.reviewing.finding import Review
from service.domain.errors import NotFound
from service.reporting import pages
from service.reporting.designs import texts

FOLDER = "reports"
_NAME = re.compile(r"(weekly|monthly|quarterly)-[0-9A-Z-]+(-[a-z0-9-]+)?\.(html|md|json|yaml)")


@dataclass(frozen=True, slots=True)
class Kept:
    """A file that is kept."""

    name: str
    bytes: int
    made: str


def keep(state_dir: Path, review: Review) -> None:
    """Write a review in all its forms, with its designs; each is whole or not there."""
    folder = state_dir / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    written = {
        f"{review.name}.html": pages.as_html(review),
        f"{review.name}.md": pages.as_markdown(review),
        **{f"{review.name}-{name}": text for name, text in texts(review).items()},
        f"{review.name}.json": pages.as_json(review),  # the last: its being there says all are
    }
    for name, text in written.items():
        aside = folder / f"{name}.aside"
        with aside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, folder / name)


def kept(state_dir: Path) -> list[Kept]:
    """What is kept, by name."""
    found = []
    for path in sorted((state_dir / FOLDER).glob("*")):
        if _NAME.fullmatch(path.name):
            about = path.stat()
            made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(about.st_mtime))
            found.append(Kept(path.name, about.st_size, made))
    return found


def has(state_dir: Path, name: str) -> bool:
    """Whether a review is there whole."""
    return (state_dir / FOLDER / f"{name}.json").exists()


def read(state_dir: Path, name: str) -> str:
    """A file that is kept; raises NotFound."""
    if not _NAME.fullmatch(name):
        raise NotFound(f"{name!r} is no report's name; see GET /admin/reports")
    try:
        return (state_dir / FOLDER / name).read_text("utf-8")
    except OSError:
        raise NotFound(f"there is no report {name}; see GET /admin/reports") from None
