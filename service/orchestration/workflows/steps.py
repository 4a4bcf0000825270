"""A workflow that was read and checked: its steps, what each reads, and what it gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from service.orchestration.workflows.forms import (
    ChatForm,
    CheckForm,
    GroupForm,
    LoopForm,
    StepForm,
    TransformForm,
    WorkflowForm,
)
from service.orchestration.workflows.kinds import (
    ANY,
    AUDIO,
    BOOLEAN,
    IMAGE,
    INTEGER,
    LIST,
    NUMBER,
    NUMBERS,
    TEXT,
    TEXTS,
    Kind,
    list_of,
    object_of,
)
from service.orchestration.workflows.language import Value
from service.orchestration.workflows.templates import Template

CALLING = ("chat", "image", "speech", "embed", "judge", "select")
PASSAGE = object_of({"id": TEXT, "text": TEXT, "score": NUMBER})
_CALL: Mapping[str, Kind] = {"deployment": TEXT, "cost_usd": NUMBER}
GIVES: Mapping[str, Mapping[str, Kind]] = {
    "chat": {"text": TEXT, "value": ANY, "finish": TEXT, **_CALL},
    "image": {"image": IMAGE, **_CALL},
    "speech": {"audio": AUDIO, "characters": INTEGER, **_CALL},
    "embed": {"vectors": list_of(NUMBERS), **_CALL},
    "transform": {"text": TEXT},
    "check": {"passed": BOOLEAN, "score": NUMBER, "why": TEXT, "faults": TEXTS, "value": ANY},
    "judge": {"score": NUMBER, "consistent": BOOLEAN, **_CALL},
    "select": {"value": ANY, "index": INTEGER, "scores": NUMBERS, "why": TEXT, "cost_usd": NUMBER},
    "code": {"passed": BOOLEAN, "score": NUMBER, "why": TEXT},
    "retrieve": {"passages": list_of(PASSAGE), "text": TEXT, "ids": TEXTS},
}  # fmt: skip
OF_A_LOOP: Mapping[str, Kind] = {"turns": INTEGER, "reached": BOOLEAN}
OF_A_MAP: Mapping[str, Kind] = {"indices": list_of(INTEGER), "failed": INTEGER}
OF_EACH: Mapping[str, Kind] = {"fell_back": BOOLEAN}


@dataclass(frozen=True, slots=True)
class Step:
    """``texts`` and ``values``: its templates and expressions by key; ``needs``: the steps beside
    it that come before; ``gives``: the fields of its result, of one item where it is mapped.
    """

    form: StepForm
    needs: tuple[str, ...]
    gives: Mapping[str, Kind]
    texts: Mapping[str, Template] = field(default_factory=dict)
    values: Mapping[str, Value] = field(default_factory=dict)
    body: tuple[Step, ...] = ()
    otherwise: Step | None = None  # its fallback, as a step
    fixed: Mapping[str, Value] = field(default_factory=dict)  # its fallback, as values

    @property
    def id(self) -> str:
        """Its id in the file."""
        return self.form.id

    @property
    def kind(self) -> str:
        """What it does."""
        return self.form.kind

    @property
    def calls(self) -> bool:
        """Whether it calls deployments itself."""
        return self.kind in CALLING

    def walk(self) -> Iterator[Step]:
        """Itself and all within it."""
        yield self
        for each in self.body:
            yield from each.walk()


@dataclass(frozen=True, slots=True)
class Workflow:
    """A file that can be run. ``digest``: of its text."""

    form: WorkflowForm
    steps: tuple[Step, ...]
    outputs: Mapping[str, Value]
    digest: str
    source: str

    @property
    def name(self) -> str:
        """Its name."""
        return self.form.name

    def walk(self) -> Iterator[Step]:
        """All steps, at any depth, in the order of the file's graph."""
        for each in self.steps:
            yield from each.walk()

    @property
    def models(self) -> Mapping[str, str]:
        """Which ``model`` each calling step names, by its id."""
        return {
            each.id: each.form.model for each in self.walk() if each.calls and hasattr(
                each.form, "model")
        }  # fmt: skip


def fields_of(form: StepForm, found: Mapping[str, Kind]) -> dict[str, Kind]:
    """The fields of a step's result. ``found``: the kinds of its own expressions by key."""
    gives = dict(GIVES.get(form.kind, {}))
    if isinstance(form, ChatForm | CheckForm) and form.returns is not None:
        gives["value"] = form.returns.kind
    elif isinstance(form, TransformForm) and form.values is not None:
        gives = {name: found.get(f"values.{name}", ANY) for name in form.values}
    elif form.kind == "select":
        gives["value"] = found.get("of", LIST).item or ANY
    elif isinstance(form, LoopForm):
        gives = {**{name: each.kind for name, each in form.carry.items()}, **OF_A_LOOP}
    elif isinstance(form, GroupForm):
        gives = {name: found.get(f"gives.{name}", ANY) for name in form.gives}
    return {**gives, **OF_EACH}


def result_kind(form: StepForm, gives: Mapping[str, Kind]) -> Kind:
    """What the step's id names: an object of its fields; lists of them where it is mapped."""
    if form.map is None:
        return object_of(gives)
    return object_of({**{name: list_of(kind) for name, kind in gives.items()}, **OF_A_MAP})
