"""Where the expressions and the templates of a step stand: by key, with their place in the file."""

from __future__ import annotations

from collections.abc import Mapping

from service.orchestration.workflows.forms import (
    ChatForm,
    CheckForm,
    CodeForm,
    EmbedForm,
    GroupForm,
    ImageForm,
    JudgeForm,
    LoopForm,
    RetrieveForm,
    SelectForm,
    SpeechForm,
    StepForm,
    TransformForm,
)

Where = tuple[str | int, ...]
Found = dict[str, tuple[str, Where]]


def expressions_of(form: StepForm) -> Found:
    """The expressions of a step itself, not of what is within it."""
    found: Found = {}
    if form.when is not None:
        found["when"] = form.when, ("when",)
    if form.map is not None:
        found["map.over"] = form.map.over, ("map", "over")
    if isinstance(form, EmbedForm | CheckForm | JudgeForm | SelectForm):
        found["of"] = form.of, ("of",)
    return found | _of_its_kind(form)


def _of_its_kind(form: StepForm) -> Found:
    if isinstance(form, ChatForm) and form.images is not None:
        return {"images": (form.images, ("images",))}
    if isinstance(form, CheckForm):
        own = {} if form.reference is None else {"reference": (form.reference, ("reference",))}
        return {**own, **_named("holds", form.holds or {})}
    if isinstance(form, SelectForm) and form.by.scores is not None:
        return {"by.scores": (form.by.scores, ("by", "scores"))}
    if isinstance(form, TransformForm):
        return _named("values", form.values or {})
    if isinstance(form, CodeForm):
        return {"code": (form.code, ("code",)), "tests": (form.tests, ("tests",))}
    if isinstance(form, RetrieveForm):
        return {"documents": (form.documents, ("documents",))}
    if isinstance(form, GroupForm):
        return _named("gives", form.gives)
    return _of_a_loop(form) if isinstance(form, LoopForm) else {}


def _of_a_loop(form: LoopForm) -> Found:
    found: Found = {"until": (form.until, ("until",))}
    for name, each in form.carry.items():
        found[f"carry.{name}.start"] = each.start, ("carry", name, "start")
        found[f"carry.{name}.next"] = each.next, ("carry", name, "next")
    return found


def _named(key: str, texts: Mapping[str, str]) -> Found:
    return {f"{key}.{name}": (text, (key, name)) for name, text in texts.items()}


def templates_of(form: StepForm) -> Found:
    """The templates of a step."""
    found: Found = {}
    if isinstance(form, ChatForm):
        if form.system is not None:
            found["system"] = form.system, ("system",)
        if form.prompt is not None:
            found["prompt"] = form.prompt, ("prompt",)
        for at, each in enumerate(form.messages or ()):
            found[f"messages.{at}"] = each.content, ("messages", at, "content")
    elif isinstance(form, ImageForm):
        found["prompt"] = form.prompt, ("prompt",)
    elif isinstance(form, SpeechForm) or (isinstance(form, TransformForm) and form.text):
        found["text"] = form.text or "", ("text",)
    elif isinstance(form, JudgeForm):
        found["question"] = form.question, ("question",)
    elif isinstance(form, SelectForm) and form.by.judge is not None:
        found["question"] = form.by.judge.question, ("by", "judge", "question")
    elif isinstance(form, RetrieveForm):
        found["query"] = form.query, ("query",)
    return found
