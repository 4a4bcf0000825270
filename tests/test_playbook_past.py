"""The playbook where a section begins with a past: its commands exist, and do what it says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.playbook import Command
from tests.playbook_reader import (
    WITH_A_PAST,
    World,
    commands,
    headgates,
    of_the_command_line,
    world,
)


@pytest.mark.parametrize("command", commands(WITH_A_PAST), ids=lambda c: c.text.split("\n")[0][:60])
def test_every_shown_command_exists_with_its_options(command: Command) -> None:
    for words in headgates(command.text):
        of_the_command_line(words)


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("shared")) as found:
        yield found


@pytest.mark.slow
@pytest.mark.parametrize("section", WITH_A_PAST)
def test_what_the_page_shows_happens(section: str, tmp_path: Path, followed: World) -> None:
    followed.follow(section, tmp_path)
