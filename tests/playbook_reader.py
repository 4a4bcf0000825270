"""A person who reads the playbook: what it shows exists, and happens on a service of its own."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import typer

from service.cli.main import app
from service.providers.simulated import Stream
from service.simulate import SimulatedProviders
from tests.conftest import Server
from tests.playbook import ID, PAGE, PATIENCE_S, Block, Command, Duty, blocks, missing, on_duty
from tests.playbook_stages import STAGES, ground, known

TEXT = PAGE.read_text("utf-8")
BLOCKS = blocks(TEXT)
SECTIONS = list(dict.fromkeys(block.section for block in BLOCKS))
# Two files of tests share the sections, so that two workers may: those that begin with a service
# that has some past behind it, which is made once a file, and the others.
WITH_A_PAST = [section for section in SECTIONS if STAGES[section].begin is known]
WITHOUT = [section for section in SECTIONS if section not in WITH_A_PAST]
ROOT_COMMAND = typer.main.get_command(app)


def commands(sections: list[str]) -> list[Command]:
    """Every command that these sections show."""
    return [each for block in BLOCKS if block.section in sections for each in block.commands]


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


@dataclass(frozen=True)
class World:
    """The providers before which every section is followed, and the folder that sites share."""

    stream: Stream
    providers_url: str
    shared: Path

    def follow(self, section: str, folder: Path) -> None:
        """All that a section shows, on a site of its own."""
        stage = STAGES[section]
        site = folder / "site"
        with (
            ground(stage, site),
            on_duty(site, self.shared, self.providers_url, self.stream) as duty,
        ):
            stage.begin(duty)
            reader = Reader(duty)
            for block in BLOCKS:
                if block.section == section:
                    if block.number in stage.before:
                        stage.before[block.number](duty)
                    reader.follow(block)


@contextmanager
def world(shared: Path) -> Iterator[World]:
    """Providers on loopback, twenty times as fast."""
    stream = Stream(seed=11, speed=20.0)
    with Server(SimulatedProviders(stream).app()) as server:
        yield World(stream, server.url, shared)
