"""Every command of the playbook exists, and does on a running service what the page says."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from service.cli.main import app
from service.providers.simulated import Stream
from service.simulate import SimulatedProviders
from tests.conftest import Server
from tests.playbook import ID, PAGE, PATIENCE_S, Block, Command, Duty, blocks, missing, on_duty
from tests.playbook_stages import STAGES, ground

TEXT = PAGE.read_text("utf-8")
BLOCKS = blocks(TEXT)
SECTIONS = list(dict.fromkeys(block.section for block in BLOCKS))
COMMANDS = [command for block in BLOCKS for command in block.commands]
ROOT_COMMAND = typer.main.get_command(app)


def headgates(text: str) -> list[list[str]]:
    """The words of every call of headgate in a command."""
    flat = re.sub(r"'[^']*'|\"[^\"]*\"", "TEXT", text)
    calls = re.findall(r"(?:^|[;|&]\s*)headgate ([^;|&>]*)", flat, flags=re.M)
    return [call.split() for call in calls]


def of_the_command_line(words: list[str]) -> None:
    """Whether the command is there, with every option that is shown; by its own parser."""
    command, at = ROOT_COMMAND, 0
    while inner := getattr(command, "commands", None):
        if command.invoke_without_command and (not words[at:] or words[at].startswith("-")):
            break  # it speaks alone: an option follows, or nothing
        assert words[at] in inner, f"there is no {' '.join(words[: at + 1])}"
        command, at = inner[words[at]], at + 1
    known = {name for each in command.params for name in each.opts} | {"--help"}
    shown = {word for word in words[at:] if word.startswith("--")}
    assert shown <= known, f"{' '.join(words)} does not take {shown - known}"
    command.make_context("headgate", list(words[at:]), resilient_parsing=True)
    needed = {each.opts[0] for each in command.params if each.required and each.opts[0][0] == "-"}
    assert needed <= shown, f"{' '.join(words)} needs {needed - shown}"


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c.text.split("\n")[0][:60])
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
    shown = [command.text for command in COMMANDS]
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
def world() -> Stream:
    return Stream(seed=11, speed=20.0)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="module")
def providers_url(world: Stream) -> Iterator[str]:
    with Server(SimulatedProviders(world).app()) as server:
        yield server.url


class Reader:
    """A person who types what the page shows, and looks at what comes."""

    def __init__(self, duty: Duty) -> None:
        self._duty = duty
        self._ids: dict[str, str] = {}

    def follow(self, block: Block) -> None:
        """All its commands, in order; what only looks is looked at until it shows what it should,
        as a service that has just started has not yet counted what it just did.
        """
        deadline = time.monotonic() + PATIENCE_S
        again = block.only_looks or any(command.again for command in block.commands)
        while True:
            try:
                return self._once(block)
            except AssertionError:
                if not again or time.monotonic() > deadline:
                    raise

    def _once(self, block: Block) -> None:
        told = "".join(self._typed(command) for command in block.commands)
        lost = missing(self._lines(block), told)
        assert lost is None, f"{block.section}, block {block.number}: no {lost!r} in\n{told}"

    def _typed(self, command: Command) -> str:
        text = self._filled(command.text)
        code, out = self._duty.shell(text)
        assert code == command.exit_code, f"{text} ended with {code}:\n{out}"
        if command.gives:
            found = ID.search(out)
            assert found is not None, f"{text} gives no {command.gives}:\n{out}"
            self._ids[command.gives] = found[0]
        return out

    def _filled(self, text: str) -> str:
        for name, value in self._ids.items():
            text = re.sub(rf"\b{name}\b", value, text)
        return text

    def _lines(self, block: Block) -> tuple[str, ...]:
        return tuple(self._filled(line) for line in block.promised)


@pytest.mark.slow
@pytest.mark.parametrize("section", SECTIONS)
def test_what_the_page_shows_happens(
    section: str, tmp_path: Path, shared: Path, providers_url: str, world: Stream
) -> None:
    stage = STAGES[section]
    with (
        ground(stage, tmp_path / "site"),
        on_duty(tmp_path / "site", shared, providers_url, world) as duty,
    ):
        stage.begin(duty)
        reader = Reader(duty)
        for block in BLOCKS:
            if block.section == section:
                if block.number in stage.before:
                    stage.before[block.number](duty)
                reader.follow(block)
