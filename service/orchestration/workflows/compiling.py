"""From the form of a workflow to its checked steps: names, kinds, circles, what is never used."""

from __future__ import annotations

import keyword
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pydantic

from service.orchestration.references import problem
from service.orchestration.scorers import Check
from service.orchestration.workflows import graph
from service.orchestration.workflows.forms import (
    STEP_FORMS,
    CheckForm,
    GroupForm,
    LoopForm,
    SelectForm,
    StepForm,
    WorkflowForm,
)
from service.orchestration.workflows.functions import FUNCTIONS
from service.orchestration.workflows.heads import Path_, Tell, check_inputs, check_whole
from service.orchestration.workflows.kinds import (
    ANY,
    BOOLEAN,
    INTEGER,
    LIST,
    NUMBERS,
    TEXT,
    TEXTS,
    Kind,
    fits,
    list_of,
    object_of,
)
from service.orchestration.workflows.language import LAZY, Scope, Value, compiled
from service.orchestration.workflows.operations import LanguageInvalid
from service.orchestration.workflows.parts import expressions_of, templates_of
from service.orchestration.workflows.steps import Step, fields_of, result_kind
from service.orchestration.workflows.templates import Template, template

RESERVED = {"inputs", "loop", "index", "true", "false", "null", "none", *FUNCTIONS, *LAZY}
DEEPEST = 4
IMAGES = list_of(Kind("image"))
_WANTED: Mapping[str, Kind] = {
    "when": BOOLEAN, "until": BOOLEAN, "map.over": LIST, "images": IMAGES, "code": TEXT,
    "tests": TEXTS, "documents": LIST, "by.scores": NUMBERS,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """Where some steps stand: the names around them, how deep, and where in the file."""

    scope: Scope
    at: Path_
    deep: int = 0
    seen: dict[str, Path_] = field(default_factory=dict)  # of the whole file


class Compiler:
    """Reads the steps of one file; what is wrong is told, and reading goes on."""

    def __init__(self, form: WorkflowForm, tell: Tell) -> None:
        self._form, self._tell = form, tell

    def steps(self) -> tuple[tuple[Step, ...], dict[str, Value]]:
        """The steps in an order in which they can run, and the outputs."""
        form = self._form
        check_inputs(form, self._tell)
        scope = {"inputs": object_of({name: each.kind for name, each in form.inputs.items()})}
        place = Place(scope, ("steps",))
        read = set().union(*(graph.names_in(each.value) for each in form.outputs.values()))
        steps, kinds = self._body(form.steps, place, read)
        outputs: dict[str, Value] = {}
        for name, each in form.outputs.items():
            at = ("outputs", name, "value")
            value = self._value(each.value, {**scope, **kinds}, at)
            if value is None:
                continue
            if not fits(value.kind, each.kind):
                self._tell(at, f"it is {value.kind}, and the output is {each.kind}", "change one")
            outputs[name] = value
        check_whole(form, self._tell)
        self._example()
        return steps, outputs

    def _example(self) -> None:
        if self._form.example is None:
            return
        scope = {name: each.kind for name, each in self._form.outputs.items()}
        for index, text in enumerate(self._form.example.holds):
            self._value(text, scope, ("example", "holds", index), BOOLEAN)

    # a body -----------------------------------------------------------------------------------

    def _body(
        self, forms: Sequence[StepForm], place: Place, read_outside: set[str]
    ) -> tuple[tuple[Step, ...], dict[str, Kind]]:
        """The steps of one body in order, and the kinds that their ids name."""
        own = self._ids(forms, place)
        reads = {form.id: _reads(form) for form in forms}
        needs: dict[str, list[str]] = {}
        for form in forms:
            for at, name in enumerate(form.needs):
                if name not in own:
                    where = (*place.at, own[form.id], "needs", at)
                    self._tell(where, f"there is no step {name!r} beside it",
                               f"there are: {', '.join(own)}")  # fmt: skip
            wanted = [*form.needs, *(name for name in own if name in reads[form.id])]
            needs[form.id] = [name for name in dict.fromkeys(wanted) if name in own]
        if way := graph.circle(needs):
            self._tell((*place.at, own[way[0]]), f"goes in a circle: {' needs '.join(way)}",
                       "let one of them read something else")  # fmt: skip
        self._unused(forms, needs, read_outside, (place.at, own))
        kinds: dict[str, Kind] = {}
        steps: list[Step] = []
        by_id = {form.id: form for form in forms}
        for name in graph.ordered(needs):
            form = by_id[name]
            inner = Place(
                {**place.scope, **kinds}, (*place.at, own[name]), place.deep, place.seen
            )  # fmt: skip
            step = self._step(form, tuple(needs[name]), inner)
            steps.append(step)
            kinds[name] = result_kind(form, step.gives)
        return tuple(steps), kinds

    def _ids(self, forms: Sequence[StepForm], place: Place) -> dict[str, int]:
        own: dict[str, int] = {}
        for index, form in enumerate(forms):
            at = (*place.at, index, "id")
            if form.id in RESERVED or keyword.iskeyword(form.id):
                self._tell(at, f"{form.id} is a word of the language", "rename it")
            if form.id in place.seen or form.id in place.scope:
                self._tell(at, f"{form.id} is given twice", "rename one")
            place.seen.setdefault(form.id, at)
            own.setdefault(form.id, index)
        return own

    def _unused(
        self,
        forms: Sequence[StepForm],
        needs: Mapping[str, Sequence[str]],
        read_outside: set[str],
        where: tuple[Path_, Mapping[str, int]],
    ) -> None:
        """Each step serves an output, or stops the run: else its cost would be for nothing."""
        place, own = where
        stops = {f.id for f in forms if isinstance(f, CheckForm) and f.require}
        used = graph.reached(iter([*(read_outside & set(needs)), *stops]), needs)
        for form in forms:
            if form.id not in used:
                self._tell(
                    (*place, own[form.id], "id"), f"nothing uses {form.id}",
                    "read it in a step that is used or in an output, or remove it",
                )  # fmt: skip

    # a step -----------------------------------------------------------------------------------

    def _step(self, form: StepForm, needs: tuple[str, ...], place: Place) -> Step:
        scope, at = dict(place.scope), place.at
        values: dict[str, Value] = {}
        for key in ("when", "map.over"):
            self._put(values, key, form, scope, at)
        if form.map is not None:
            if form.map.name in scope or form.map.name in RESERVED or "index" in scope:
                self._tell(
                    (*at, "map", "name"), f"{form.map.name} is taken, or this map is in a map",
                    "rename it; a list of lists is flattened first",
                )  # fmt: skip
            over = values.get("map.over")
            scope[form.map.name] = (over.kind.item if over is not None else None) or ANY
            scope["index"] = INTEGER
        inside = Place(scope, at, place.deep, place.seen)
        body = self._inner(form, inside, values)
        for key in expressions_of(form):
            if key not in values and key not in ("when", "map.over"):
                self._put(values, key, form, self._within(form, scope, body), at)
        texts: dict[str, Template] = {}
        for key, (text, where) in templates_of(form).items():
            self._text(texts, (key, text), scope, (*at, *where))
        gives = fields_of(form, {key: value.kind for key, value in values.items()})
        self._own(form, values, at)
        otherwise, fixed = self._fallback(form, gives, inside, place)
        return Step(form, needs, gives, texts, values, body[0], otherwise, fixed)

    def _within(
        self, form: StepForm, scope: Scope, body: tuple[tuple[Step, ...], dict[str, Kind]]
    ) -> Scope:
        """The names that a step's own expressions may read."""
        if isinstance(form, LoopForm):
            return {**scope, **body[1], "loop": _carried(form)}
        return {**scope, **body[1]}

    def _inner(
        self, form: StepForm, place: Place, values: dict[str, Value]
    ) -> tuple[tuple[Step, ...], dict[str, Kind]]:
        if not isinstance(form, LoopForm | GroupForm):
            return (), {}
        at: Path_ = (*place.at, "steps")
        if place.deep + 1 >= DEEPEST:
            self._tell(at, f"deeper than {DEEPEST}", "give some steps a place further out")
            return (), {}
        scope = dict(place.scope)
        if isinstance(form, LoopForm):
            if "loop" in scope:
                self._tell(at, "a loop within a loop", "carry in one loop what both need")
            for name in form.carry:
                self._put(values, f"carry.{name}.start", form, scope, place.at)
            scope["loop"] = _carried(form)
            texts = [form.until, *(each.next for each in form.carry.values())]
        else:
            texts = list(form.gives.values())
        read: set[str] = set().union(*(graph.names_in(text) for text in texts))
        return self._body(form.steps, Place(scope, at, place.deep + 1, place.seen), read)

    def _put(
        self, values: dict[str, Value], key: str, form: StepForm, scope: Scope, at: Path_
    ) -> None:
        """Read the expression of a key, where the step has it."""
        found = expressions_of(form).get(key)
        if found is None:
            return
        text, where = found
        wanted = _wanted(form, key)
        value = self._value(text, scope, (*at, *where), wanted)
        if value is not None:
            values[key] = value

    def _value(
        self, text: str, scope: Scope, at: Path_, wanted: Kind = ANY
    ) -> Value | None:  # fmt: skip
        try:
            value = compiled(text, scope)
        except LanguageInvalid as error:
            self._tell(at, str(error), self._hint(str(error)))
            return None
        if not fits(value.kind, wanted):
            self._tell(at, f"it is {value.kind}, and {wanted} is wanted here", "change it")
        return value

    def _text(
        self, texts: dict[str, Template], given: tuple[str, str], scope: Scope, at: Path_
    ) -> None:
        key, text = given
        try:
            texts[key] = template(text, scope)
        except LanguageInvalid as error:
            self._tell(at, str(error), self._hint(str(error)))

    def _hint(self, told: str) -> str:
        return "inputs are read as inputs.NAME, steps as ID.FIELD" if "no name" in told else ""

    def _own(self, form: StepForm, values: Mapping[str, Value], at: Path_) -> None:
        """What only some kinds of steps must keep."""
        limits = self._form.limits
        if form.timeout_s is not None and form.timeout_s > limits.max_time_s:
            self._tell((*at, "timeout_s"), "is more than the run's limits.max_time_s", "lower it")
        if isinstance(form, LoopForm):
            if form.most > limits.max_loop:
                self._tell((*at, "most"), f"is more than limits.max_loop ({limits.max_loop})",
                           "lower it, or raise the limit")  # fmt: skip
            if form.keep != "last" and form.keep.best not in form.carry:
                self._tell((*at, "keep", "best"), "is not carried", "name one of carry")
        if form.map is not None and (form.map.least or 0) > form.map.most:
            self._tell((*at, "map", "least"), "is more than most", "lower it")
        wanted = form.structure if isinstance(form, CheckForm) else (
            form.by.structure if isinstance(form, SelectForm) else None)  # fmt: skip
        if wanted is not None and (wrong := problem(Check("structure", wanted))):
            self._tell((*at, "structure"), wrong[1], "change it")
        of = values.get("of")
        if isinstance(form, SelectForm) and of is not None and not fits(of.kind, LIST):
            self._tell((*at, "of"), f"it is {of.kind}, and a list is wanted here", "give a list")

    # fallbacks --------------------------------------------------------------------------------

    def _fallback(
        self, form: StepForm, gives: Mapping[str, Kind], inside: Place, place: Place
    ) -> tuple[Step | None, dict[str, Value]]:
        fallback, at = form.fallback, (*place.at, "fallback")
        if fallback is None:
            return None, {}
        fixed: dict[str, Value] = {}
        for name, text in (fallback.values or {}).items():
            where = (*at, "values", name)
            if name not in gives:
                self._tell(where, f"{form.kind} gives no {name!r}", f"gives: {', '.join(gives)}")
                continue
            value = self._value(text, inside.scope, where, gives[name])
            if value is not None:
                fixed[name] = value
        if fallback.step is None:
            return None, fixed
        changed = form.model_dump(exclude={"fallback", "map", "when", "needs"}, exclude_none=True)
        changed |= fallback.step | {"id": form.id, "kind": form.kind}
        taken = {"id", "kind", "needs", "when", "map", "fallback"} & set(fallback.step)
        if taken or not fallback.step:
            self._tell((*at, "step"), f"cannot change {', '.join(sorted(taken)) or 'nothing'}",
                       "give the keys that differ, such as model")  # fmt: skip
            return None, {}
        try:
            other = STEP_FORMS[form.kind].model_validate(changed)
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            told = ".".join(str(each) for each in first["loc"])
            self._tell((*at, "step"), f"{told}: {first['msg']}", "give the keys that differ")
            return None, {}
        inner = Place(inside.scope, (*at, "step"), place.deep, {})
        return self._step(other, (), inner), {}


def _carried(form: LoopForm) -> Kind:
    return object_of({**{n: each.kind for n, each in form.carry.items()}, "turn": INTEGER})


def _wanted(form: StepForm, key: str) -> Kind:
    if key.startswith("holds."):
        return BOOLEAN
    if isinstance(form, LoopForm) and key.startswith("carry."):
        return form.carry[key.split(".")[1]].kind
    if form.kind == "judge" and key == "of":
        return TEXT
    return _WANTED.get(key, ANY)


def _reads(form: StepForm) -> set[str]:
    """Every name that a step or anything within it reads."""
    found: set[str] = set()
    for text, _ in expressions_of(form).values():
        found |= graph.names_in(text)
    for text, _ in templates_of(form).values():
        found |= graph.names_of(text)
    if form.fallback is not None:
        for text in (form.fallback.values or {}).values():
            found |= graph.names_in(text)
        for text in _texts_in(form.fallback.step or {}):
            found |= graph.names_of(text) | graph.names_in(text)
    if isinstance(form, LoopForm | GroupForm):
        for inner in form.steps:
            found |= _reads(inner)
    return found


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts_in(each)
