"""Every command of the playbook exists, and does on a running service what the page says.

The sections that begin with a past are followed in test_playbook_past.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.playbook import Command, blocks, missing
from tests.playbook_reader import (
    BLOCKS,
    SECTIONS,
    TEXT,
    WITHOUT,
    World,
    commands,
    headgates,
    of_the_command_line,
    world,
)
from tests.playbook_stages import STAGES


@pytest.mark.parametrize("command", commands(WITHOUT), ids=lambda c: c.text.split("\n")[0][:60])
def test_every_shown_command_exists_with_its_options(command: Command) -> None:
    for words in headgates(command.text):
        of_the_command_line(words)


def test_the_reader_of_the_page_reads_it() -> None:
    page = (
        "## One\n```sh\na 'b\nc'  # gives X; ends with 1\nd \\\n  e\n```\n\n```text\nX ... y\n```\n"
        "## Two\n```sh\nf  # again until it says so\n```\nwords\n```text\nnot of f\n```\n"
    )
    one, two = blocks(page)
    assert (one.section, one.promised, two.promised) == ("One", ("X ... y",), ())
    first, second = one.commands
    assert (first.text, first.gives, first.exit_code) == ("a 'b\nc'", "X", 1)
    assert second.text == "d \\\n  e" and two.commands[0].again
    assert missing(("a ... d", "e"), "a b\nc   d e") is None
    assert missing(("e", "a"), "a b c d e") == "a" and missing(("a z",), "a b z") == "a z"
    assert one.only_looks is False and two.only_looks is False
    assert blocks("```sh\nheadgate status\ndf -h x\n```\n")[0].only_looks
    assert headgates('headgate why X | headgate status; ls "headgate no"') == [
        ["why", "X"], ["status"],
    ]  # fmt: skip
    with pytest.raises(AssertionError, match="does not take"):
        of_the_command_line(["status", "--nonsense"])
    with pytest.raises(AssertionError, match="needs"):
        of_the_command_line(["override", "lift", "X"])
    with pytest.raises(AssertionError, match="there is no"):
        of_the_command_line(["override", "burn"])


def test_the_page_keeps_its_own_rules() -> None:
    assert set(SECTIONS) == set(STAGES), "each section with commands has its stage"
    for block in BLOCKS:
        quiet = all(not _speaks(command) for command in block.commands)
        assert block.promised or quiet, f"{block.section}: what does block {block.number} print?"
        assert len(block.commands) == 1 or not any(c.again for c in block.commands)
        for command in block.commands:
            reasons = re.findall(r"--(?:reason|note) \"([^\"]*)\"", command.text)
            assert all(len(reason) >= 10 for reason in reasons), command.text
    for section, stage in STAGES.items():
        numbers = {block.number for block in BLOCKS if block.section == section}
        assert set(stage.before) <= numbers
    # What the prose and the tables name is run too: each is a command of a block, or begins one.
    shown = [command.text for command in commands(SECTIONS)]
    inline = re.findall(r"`((?:headgate|df|tail|curl) [^`]+)`", TEXT)
    for named in inline:
        assert any(f"{text} ".startswith(f"{named} ") for text in shown) or named in (
            "headgate history",
        ), f"`{named}` stands in no block"
    anchors = {_anchor(heading) for heading in re.findall(r"^#+ (.+)$", TEXT, flags=re.M)}
    for link in re.findall(r"\]\(#([^)]+)\)", TEXT):
        assert link in anchors, f"#{link} leads nowhere"


def _speaks(command: Command) -> bool:
    """Whether it prints anything: copies, stops, and what runs beside do not."""
    return not re.match(r"cp |rm |printf .*>>|kill |headgate serve", command.text)


def _anchor(heading: str) -> str:
    return re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("shared")) as found:
        yield found


@pytest.mark.slow
@pytest.mark.parametrize("section", WITHOUT)
def test_what_the_page_shows_happens(section: str, tmp_path: Path, followed: World) -> None:
    followed.follow(section, tmp_path)
