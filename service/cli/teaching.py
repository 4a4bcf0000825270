"""`headgate policy teach` and `taught`: answers that were rated elsewhere, told to the policy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.output import (
    DEFAULT_URL,
    AuthorOption,
    JsonFlag,
    ReasonOption,
    UrlOption,
    client,
    err,
    fail,
    give,
    say,
    service_errors,
    signed,
    table,
)

if TYPE_CHECKING:
    import pandas as pd

MOST_ANSWERS = 5_000  # of a part
MOST_CHARACTERS = 2_000_000  # of a part's prompts
SEND_S = 180.0
TAKEN = "evidence_taken"


@dataclass(frozen=True, slots=True)
class Rated:
    """Answers by prompt, in the file's order, and how many of whom are left out."""

    prompts: list[list[dict[str, Any]]]
    left_out: Mapping[str, int]

    def parts(self) -> Iterator[list[dict[str, Any]]]:
        """The same parts each time, with whole prompts together."""
        part: list[dict[str, Any]] = []
        size = 0
        for answers in self.prompts:
            more = sum(len(each["prompt"]) for each in answers)
            if part and (len(part) + len(answers) > MOST_ANSWERS or size + more > MOST_CHARACTERS):
                yield part
                part, size = [], 0
            part.extend(answers)
            size += more
        if part:
            yield part

    def deployments(self) -> dict[str, dict[str, Any]]:
        """Of each deployment how many answers, and their mean quality."""
        found: dict[str, list[float]] = {}
        for answers in self.prompts:
            for each in answers:
                found.setdefault(each["deployment"], []).append(each["quality"])
        return {
            name: {"answers": len(quality), "quality": sum(quality) / len(quality)}
            for name, quality in sorted(found.items())
        }


def teach(
    file: Annotated[
        Path,
        typer.Argument(
            help="Parquet: prompt_id, prompt, model, reward in [0, 1], perhaps tokens_out."
        ),
    ],
    reason: ReasonOption,
    renamed: Annotated[
        list[str] | None, typer.Option("--map", help="model=deployment, as often as you like.")
    ] = None,
    source: Annotated[str, typer.Option(help="Where it is from; the file's name by default.")] = "",
    only_known: Annotated[
        bool, typer.Option("--only-known", help="Leave out models that are no deployments.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be sent, and send nothing.")
    ] = False,
    author: AuthorOption = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonFlag = False,
) -> None:
    """Let the live policy learn from answers that were rated elsewhere, as if they had been given
    here now. What was taken before is passed over, so that a break is made good by the same again.
    """
    with service_errors():
        service = client(url)
        rated = _rated(file, _renamed(renamed or []), _known(service), only_known)
        told: dict[str, Any] = {
            "source": source or file.name,
            "deployments": rated.deployments(),
            "left_out": dict(rated.left_out),
            "taken": [],
            "taken_before": [],
            "dry_run": dry_run,
        }
        if not dry_run:
            body = {"source": told["source"], **signed(author, reason)}
            _send(service, list(rated.parts()), body, told)
    give(told, as_json, _show)


def taught(url: UrlOption = DEFAULT_URL, as_json: JsonFlag = False) -> None:
    """What was taken of answers that were rated elsewhere, newest first."""
    with service_errors():
        give(client(url).get("/admin/evidence", limit=1_000), as_json, _show_taken)


def register(app: typer.Typer) -> None:
    """Put both into a group of commands."""
    app.command(
        epilog="Example: headgate policy teach rated.parquet --map gpt-small=brook "
        '--reason "rated in our own evaluation"'
    )(teach)
    app.command(epilog="Example: headgate policy taught --json")(taught)


def _known(service: Any) -> list[str]:
    """The deployments that the live policy knows."""
    versions = service.get("/admin/policies")["versions"]
    live = next(each["id"] for each in versions if each["live"])
    arms = service.get(f"/admin/policies/{live}")["parameters"]["arms"]
    return [arm["name"] for arm in arms]


def _renamed(texts: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in texts:
        model, equals, deployment = each.rpartition("=")
        if not (equals and model and deployment):
            fail(f"--map takes model=deployment, not {each!r}", 2)
        found[model] = deployment
    return found


def _rated(file: Path, renamed: Mapping[str, str], known: list[str], only_known: bool) -> Rated:
    from experiments.errors import CannotSay
    from experiments.offline.outcomes import read_rows

    try:
        frame = read_rows(file)
    except CannotSay as error:
        fail(str(error), 2)
    models = frame["model"].astype(str)
    there = list(dict.fromkeys(models))
    if strangers := [model for model in renamed if model not in there]:
        fail(f"--map: {file} has no {', '.join(strangers)}; it has {', '.join(there)}", 2)
    names = {model: renamed.get(model, model) for model in there}
    unknown = {model for model in there if names[model] not in known}
    if unknown and not only_known:
        fail(
            f"no deployments: {', '.join(sorted(unknown))}; known: {', '.join(known)}. Name them "
            "with --map model=deployment, or leave them out with --only-known", 2,
        )  # fmt: skip
    taken = [names[model] for model in there if model not in unknown]
    if twice := sorted({name for name in taken if taken.count(name) > 1}):
        fail(f"several models are mapped to {', '.join(twice)}: give each deployment one", 2)
    if not taken:
        fail(f"nothing is left: none of the models is a deployment; known: {', '.join(known)}", 2)
    left_out = {model: int((models == model).sum()) for model in sorted(unknown)}
    return Rated(_by_prompt(frame[~models.isin(unknown)], names), left_out)


def _by_prompt(frame: pd.DataFrame, names: Mapping[str, str]) -> list[list[dict[str, Any]]]:
    """The answers; a column ``tokens_out`` is taken where there is one."""
    prompts: dict[Any, list[dict[str, Any]]] = {}
    lengths = frame["tokens_out"] if "tokens_out" in frame.columns else [0] * len(frame)
    columns = (frame[name] for name in ("prompt_id", "prompt", "model", "reward"))
    for prompt_id, prompt, model, reward, tokens in zip(*columns, lengths, strict=True):
        answer = {
            "deployment": names[str(model)], "quality": float(reward), "prompt": str(prompt),
        }  # fmt: skip
        if tokens and tokens >= 1:  # not where nobody knows
            answer["tokens_out"] = int(tokens)
        prompts.setdefault(prompt_id, []).append(answer)
    return list(prompts.values())


def _send(
    service: Any, parts: list[list[dict[str, Any]]], body: dict[str, Any], told: dict[str, Any]
) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from service.client import ServiceError

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task("teaching, parts", total=len(parts))
        for part in parts:
            try:
                sent = service.post("/admin/evidence", {**body, "answers": part}, SEND_S)
                told["taken"].append({"evidence_id": sent["evidence_id"], "answers": len(part)})
            except ServiceError as error:
                if error.code != TAKEN:
                    raise
                told["taken_before"].append({"answers": len(part), "message": str(error)})
            bar.advance(task)


def _show(told: dict[str, Any]) -> None:
    table(
        ("deployment", "answers", "mean quality"),
        [(name, each["answers"], each["quality"]) for name, each in told["deployments"].items()],
    )
    if told["left_out"]:
        models = ", ".join(f"{name} ({count})" for name, count in told["left_out"].items())
        say(f"left out, no deployments: {models}")
    if told["dry_run"]:
        say("a dry run: nothing was sent")
        return
    for each in told["taken_before"]:
        say(f"passed over {each['answers']} answers: {each['message']}")
    answers = sum(each["answers"] for each in told["taken"])
    say(f"{answers} answers of {told['source']} were taken, in {len(told['taken'])} parts")


def _show_taken(found: dict[str, Any]) -> None:
    table(
        ("id", "at", "source", "answers", "prompts", "deployments", "author", "reason"),
        [
            (
                each["evidence_id"], each["at"], each["source"], each["answers"], each["prompts"],
                ", ".join(
                    f"{name} {one['answers']} at {one['quality']:.3f}"
                    for name, one in each["deployments"].items()
                ),
                each["author"], each["reason"],
            )
            for each in found["evidence"]
        ],
    )  # fmt: skip
