"""The form of a workflow file: its keys, their types and bounds, before anything is looked up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.orchestration.workflows.kinds import Kind, KindUnknown, read

ID = r"^[a-z][a-z0-9_]{0,39}$"
FILE_NAME = r"^[a-z][a-z0-9]*(?:-[a-z0-9]+)*$"
Id = Annotated[str, Field(pattern=ID)]
Text = Annotated[str, Field(min_length=1, max_length=100_000)]
Expression = Annotated[str, Field(min_length=1, max_length=2_000)]
Usd = Annotated[float, Field(gt=0.0, le=1_000.0, allow_inf_nan=False)]
Time = Annotated[float, Field(gt=0.0, le=86_400.0, allow_inf_nan=False)]
MOST_STEPS, MOST_LOOP, MOST_ITEMS = 1_000, 20, 200


class Form(BaseModel):
    """A part of the file: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TypedForm(Form):
    """Something with a type."""

    type: str = "text"
    description: str = Field(default="", max_length=500)

    @model_validator(mode="after")
    def _known(self) -> TypedForm:
        try:
            read(self.type)
        except KindUnknown as error:
            raise ValueError(str(error)) from None
        return self

    @property
    def kind(self) -> Kind:
        """Its kind."""
        return read(self.type)


class InputForm(TypedForm):
    """One input. Without a default it is required, unless ``required`` says otherwise."""

    required: bool | None = None
    default: Any = None
    choices: list[Any] | None = Field(default=None, min_length=1, max_length=100)
    min: float | None = Field(default=None, allow_inf_nan=False)
    max: float | None = Field(default=None, allow_inf_nan=False)
    max_length: int | None = Field(default=None, ge=1, le=2_000_000)

    @property
    def needed(self) -> bool:
        """Whether a run must be given it."""
        return self.default is None if self.required is None else self.required


class OutputForm(TypedForm):
    """One output: an expression over the steps."""

    value: Expression


class LimitsForm(Form):
    """What a run never passes: calls and other steps made, money, time, turns of any loop."""

    max_steps: int = Field(default=50, ge=1, le=MOST_STEPS)
    max_cost_usd: Usd = 1.0
    max_time_s: Time = 300.0
    max_loop: int = Field(default=5, ge=1, le=MOST_LOOP)


class RouteForm(Form):
    """What narrows the choice of a call: the options of a request."""

    deployments: list[str] = []
    exclude: list[str] = []
    task: str | None = None
    tier: str | None = None
    min_quality: float | None = Field(default=None, ge=0.0, le=1.0)
    quality_cost: float | None = Field(default=None, ge=0.0, le=1.0)
    region: str | list[str] | None = None
    data_policy: list[str] = []


class MapForm(Form):
    """Once for each item of a list; ``name``: what an item is called in the step."""

    over: Expression
    name: Id = "item"
    at_once: int = Field(default=4, ge=1, le=32)
    most: int = Field(default=20, ge=1, le=MOST_ITEMS)
    least: int | None = Field(default=None, ge=0, le=MOST_ITEMS)


class FallbackForm(Form):
    """What is done when a step fails: other keys of the same step, or fixed values."""

    step: dict[str, Any] | None = None
    values: dict[Id, Expression] | None = None

    @model_validator(mode="after")
    def _one(self) -> FallbackForm:
        if (self.step is None) == (self.values is None):
            raise ValueError("give either step (what is different) or values (an expression each)")
        return self


class StepForm(Form):
    """What every step has."""

    id: Id
    kind: str
    description: str = Field(default="", max_length=500)
    needs: list[Id] = []
    when: Expression | None = None
    map: MapForm | None = None
    timeout_s: Time | None = None
    fallback: FallbackForm | None = None


class CallForm(StepForm):
    """What every step has that calls a deployment."""

    model: str = Field(default="auto", min_length=1, max_length=128)
    route: RouteForm = RouteForm()
    max_cost_usd: Usd | None = None
    cache: bool = False
    expect_tokens: int | None = Field(default=None, ge=1, le=200_000)


class MessageForm(Form):
    """One message; ``content`` is a template."""

    role: Literal["system", "user", "assistant"]
    content: Text


class ChatForm(CallForm):
    """A chat completion. ``returns``: the answer is JSON of this type, fields with theirs."""

    kind: Literal["chat"]
    system: Text | None = None
    prompt: Text | None = None
    messages: list[MessageForm] | None = Field(default=None, min_length=1, max_length=100)
    images: Expression | None = None
    max_tokens: int | None = Field(default=None, ge=1, le=200_000)
    temperature: float | None = Field(default=None, ge=0.0, le=2.0)
    seed: int | None = Field(default=None, ge=0, le=2**31)
    returns: ReturnsForm | None = None

    @model_validator(mode="after")
    def _one(self) -> ChatForm:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either prompt or messages")
        if self.messages is not None and self.system is not None:
            raise ValueError("with messages, the system message is one of them")
        return self


class ReturnsForm(TypedForm):
    """The type of a JSON answer; ``fields`` of an object, each with its type."""

    type: str = "object"
    fields: dict[str, str] = {}

    @model_validator(mode="after")
    def _fields(self) -> ReturnsForm:
        if self.fields and not self.type.endswith("object"):
            raise ValueError("only an object (or a list of objects) has fields")
        for name, text in self.fields.items():
            try:
                read(text)
            except KindUnknown as error:
                raise ValueError(f"fields.{name}: {error}") from None
        return self

    @property
    def kind(self) -> Kind:
        return _with_fields(read(self.type), {n: read(t) for n, t in self.fields.items()})


def _with_fields(kind: Kind, fields: Mapping[str, Kind]) -> Kind:
    if not fields:
        return kind
    if kind.name == "list":
        return Kind("list", _with_fields(kind.item or Kind("object"), fields))
    return Kind("object", None, fields)


class ImageForm(CallForm):
    """An image from a prompt."""

    kind: Literal["image"]
    prompt: Text
    size: str = Field(default="1024x1024", pattern=r"^[0-9]{2,4}x[0-9]{2,4}$")


class SpeechForm(CallForm):
    """A text spoken."""

    kind: Literal["speech"]
    text: Text
    voice: str = Field(default="alloy", min_length=1, max_length=64)
    format: str = Field(default="wav", pattern=r"^[a-z0-9]{2,8}$")


class EmbedForm(CallForm):
    """Texts as vectors. ``of``: a text, or a list of texts."""

    kind: Literal["embed"]
    of: Expression


class TransformForm(StepForm):
    """Values made of others, without a call."""

    kind: Literal["transform"]
    text: Text | None = None
    values: dict[Id, Expression] | None = Field(default=None, min_length=1, max_length=50)

    @model_validator(mode="after")
    def _one(self) -> TransformForm:
        if (self.text is None) == (self.values is None):
            raise ValueError("give either text (a template) or values (an expression each)")
        return self


class CheckForm(StepForm):
    """A check without a call. ``of``: what is checked; all that are given must hold."""

    kind: Literal["check"]
    of: Expression
    structure: dict[str, Any] | None = Field(default=None, min_length=1, max_length=30)
    returns: ReturnsForm | None = None
    scorer: Literal["exact", "numeric", "choice"] | None = None
    reference: Expression | None = None
    options: dict[str, Any] = {}
    holds: dict[str, Expression] | None = Field(default=None, min_length=1, max_length=30)
    require: bool = False

    @model_validator(mode="after")
    def _some(self) -> CheckForm:
        if not any((self.structure, self.returns, self.scorer, self.holds)):
            raise ValueError("give structure, returns, scorer or holds: what is checked")
        if (self.scorer is None) != (self.reference is None):
            raise ValueError("scorer and reference go together")
        return self


class JudgeForm(CallForm):
    """A blind judge's score of one answer by a rubric, asked both ways round (two calls)."""

    kind: Literal["judge"]
    of: Expression
    question: Text
    rubric: str = Field(min_length=1, max_length=4_000)
    kin: bool = False


class ByForm(Form):
    """How the best is found: by scores that are given, by vote, by structure, or by a judge."""

    scores: Expression | None = None
    vote: bool = False
    structure: dict[str, Any] | None = Field(default=None, min_length=1, max_length=30)
    judge: JudgedForm | None = None

    @model_validator(mode="after")
    def _one(self) -> ByForm:
        given = [self.scores, self.vote or None, self.structure, self.judge]
        if sum(each is not None for each in given) != 1:
            raise ValueError("give one of scores, vote, structure, judge")
        return self


class JudgedForm(Form):
    """Each is compared with the best so far, both ways round (two calls a comparison)."""

    question: Text
    rubric: str = Field(min_length=1, max_length=4_000)
    kin: bool = False


class SelectForm(CallForm):
    """The best of several; ``of``: a list."""

    kind: Literal["select"]
    of: Expression
    by: ByForm


class CodeForm(StepForm):
    """Code run with tests in the sandbox. ``code``: a text; ``tests``: a list of texts."""

    kind: Literal["code"]
    code: Expression
    tests: Expression


class RetrieveForm(StepForm):
    """The passages of given documents that fit a query best, by their words (BM25)."""

    kind: Literal["retrieve"]
    query: Text
    documents: Expression
    top: int = Field(default=5, ge=1, le=100)
    words: int = Field(default=200, ge=20, le=2_000)


class CarryForm(TypedForm):
    """What a loop carries from turn to turn: what it starts as, and what it is next."""

    start: Expression
    next: Expression


class KeepForm(Form):
    """Which turn's values a loop gives: those of the highest ``best``."""

    best: Id


class LoopForm(StepForm):
    """Its steps again and again until a condition holds, at most so many turns."""

    kind: Literal["loop"]
    carry: dict[Id, CarryForm] = Field(min_length=1, max_length=20)
    until: Expression
    most: int = Field(ge=1, le=MOST_LOOP)
    keep: Literal["last"] | KeepForm = "last"
    steps: list[AnyStep] = Field(min_length=1, max_length=50)


class GroupForm(StepForm):
    """Several steps as one, to be mapped or skipped together."""

    kind: Literal["group"]
    gives: dict[Id, Expression] = Field(min_length=1, max_length=20)
    steps: list[AnyStep] = Field(min_length=1, max_length=50)


AnyStep = Annotated[
    ChatForm | ImageForm | SpeechForm | EmbedForm | TransformForm | CheckForm | JudgeForm
    | SelectForm | CodeForm | RetrieveForm | LoopForm | GroupForm,
    Field(discriminator="kind"),
]  # fmt: skip


class ExampleForm(Form):
    """An example run: inputs, and what its outputs must hold (expressions over the outputs)."""

    inputs: dict[str, Any] = {}
    holds: list[Expression] = []


class WorkflowForm(Form):
    """The whole file."""

    name: str = Field(pattern=FILE_NAME, max_length=64)
    version: int = Field(ge=1, le=1_000_000)
    purpose: str = Field(min_length=1, max_length=1_000)
    execution: str = Field(default="", max_length=4_000)
    errors: str = Field(default="", max_length=4_000)
    inputs: dict[Id, InputForm] = Field(min_length=1, max_length=50)
    outputs: dict[Id, OutputForm] = Field(min_length=1, max_length=50)
    chat_input: Id | None = None
    chat_output: Id | None = None
    limits: LimitsForm = LimitsForm()
    steps: list[AnyStep] = Field(min_length=1, max_length=100)
    example: ExampleForm | None = None


for _form in (ChatForm, ByForm, LoopForm, GroupForm, WorkflowForm):
    _form.model_rebuild()

STEP_FORMS: Mapping[str, type[StepForm]] = {
    "chat": ChatForm, "image": ImageForm, "speech": SpeechForm, "embed": EmbedForm,
    "transform": TransformForm, "check": CheckForm, "judge": JudgeForm, "select": SelectForm,
    "code": CodeForm, "retrieve": RetrieveForm, "loop": LoopForm, "group": GroupForm,
}  # fmt: skip
