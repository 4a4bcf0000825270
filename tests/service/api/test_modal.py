"""Callers use the official OpenAI SDK for images, speech and embeddings, unmodified."""

from __future__ import annotations

import base64
import io
import json
import math
import struct
import wave
import zlib
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from service.app import create_app
from tests.conftest import KEY, ROOT, Server, Service, make_runtime, plan_text
from tests.service.api.test_chat import ended

pytestmark = pytest.mark.slow  # the vendor's client takes seconds to be imported

PROMPT = "A fox that reads under a tree, in watercolour"
LINE = "Welcome to the museum of old maps. Mind the step."


def modal_plan(providers_url: str, **replace: str) -> str:
    """The example plan with the deployments of docs/modalities.md."""
    shown = (ROOT / "docs" / "modalities.md").read_text("utf-8").split("```yaml\n")[1]
    shown = shown.split("```")[0].replace("http://127.0.0.1:9100", providers_url)
    more, rest = shown.removeprefix("deployments:\n").split("\ntasks:\n")
    tasks, ladders = rest.split("\nfallbacks:\n")
    text = plan_text(providers_url, **{"deadline_s: 75": "deadline_s: 75\n  most_lag_s: 60"})
    text = text.replace("\ntasks:\n", f"{more}\ntasks:\n{tasks}", 1)
    text += f"\nfallbacks:\n{ladders}"
    for old, new in replace.items():
        text = text.replace(old, new)
    return text


@pytest.fixture(scope="module")
def service(providers: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    runtime = make_runtime(tmp_path_factory.mktemp("state"), modal_plan(providers.url))
    with Server(create_app(runtime)) as server:
        yield Service(runtime, server)


@pytest.fixture
def client(service: Service) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=service.url + "/v1", api_key=KEY, max_retries=0) as made:
        yield made


def picture(data: bytes) -> tuple[int, int]:
    """Width and height of a PNG whose parts are all whole."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, kinds, pixels, size = 8, [], b"", (0, 0)
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length : at + 12 + length])[0] == zlib.crc32(
            kind + body
        )
        if kind == b"IHDR":
            size = struct.unpack(">II", body[:8])
        pixels += body if kind == b"IDAT" else b""
        kinds.append(kind)
        at += 12 + length
    assert kinds[0] == b"IHDR" and kinds[-1] == b"IEND"
    assert len(zlib.decompress(pixels)) == (size[0] + 1) * size[1]
    return size


def test_pictures(service: Service, client: openai.OpenAI) -> None:
    raw = client.images.with_raw_response.generate(
        model="auto", prompt=PROMPT, n=2, size="64x48", user="u-1",
        extra_body={"metadata": {"feature": "covers"}},
    )  # fmt: skip
    answer, headers = raw.parse(), raw.headers
    made = [base64.b64decode(each.b64_json or "") for each in answer.data or []]
    assert [picture(each) for each in made] == [(64, 48)] * 2 and made[0] != made[1]
    name, each = headers["x-headgate-deployment"], {"fresco": 40_000, "sketch": 8_000}
    case = ended(service, headers["x-headgate-decision-id"])
    assert case.outcome is not None and case.outcome.usage.cost_micro_usd == 2 * each[name]
    assert float(headers["x-headgate-cost"]) == 2 * each[name] / 1e6
    assert not case.outcome.usage.estimated and case.attempts[0].usage.extras is not None
    assert case.attempts[0].usage.extras.images == 2
    assert case.decision.task == "image" and case.decision.caller.feature == "covers"
    assert set(case.decision.candidates.names) == {"fresco", "sketch"}
    assert math.isclose(sum(case.decision.candidates.propensities), 1.0)
    costs = dict(
        zip(case.decision.candidates.names, case.decision.candidates.cost_usd, strict=True)
    )
    assert costs == pytest.approx({"fresco": 0.08, "sketch": 0.016}), "as is foreseen, so it costs"
    rated = httpx.post(
        service.url + "/v1/feedback", headers={"authorization": f"Bearer {KEY}"},
        json={"id": case.decision.id, "metric": "rating", "value": 0.9},
    )  # fmt: skip
    assert rated.status_code == 202 and rated.json()["applied"] is True


def test_the_same_picture_again_and_another_of_another(client: openai.OpenAI) -> None:
    def drawn(model: str, prompt: str) -> str:
        answer = client.images.generate(
            model=model, prompt=prompt, size="32x32", response_format="url"
        )
        return (answer.data or [])[0].url or ""

    first = drawn("fresco", PROMPT)
    assert first.startswith("data:image/png;base64,") and drawn("fresco", PROMPT) == first
    assert len({first, drawn("sketch", PROMPT), drawn("fresco", PROMPT + "!")}) == 3


def test_the_tiers_of_a_task(service: Service, client: openai.OpenAI) -> None:
    raw = client.images.with_raw_response.generate(
        model="auto", prompt="A mug", size="16x16",
        extra_body={"metadata": {"type": "product_photo"}},
    )  # fmt: skip
    assert raw.headers["x-headgate-task"] == "product_photo"
    if raw.headers["x-headgate-mode"] != "fallback":
        assert raw.headers["x-headgate-deployment"] == "fresco"


def test_speech_as_a_file(service: Service, client: openai.OpenAI) -> None:
    spoken = client.audio.speech.create(
        model="auto", voice="alloy", input=LINE, response_format="wav"
    )
    assert spoken.response.headers["content-type"] == "audio/wav"
    with wave.open(io.BytesIO(spoken.content)) as sound:
        assert (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) == (1, 2, 24_000)
        assert sound.getnframes() == round(24_000 * len(LINE) / 15.0)
        assert len(sound.readframes(sound.getnframes())) == 2 * sound.getnframes()
    case = ended(service, spoken.response.headers["x-headgate-decision-id"])
    each = {"announcer": 15.0, "whisperer": 4.0}[spoken.response.headers["x-headgate-deployment"]]
    assert case.outcome is not None
    assert case.outcome.usage.cost_micro_usd == round(len(LINE) * each)
    assert not case.outcome.usage.estimated and case.attempts[-1].usage.extras is not None
    assert case.attempts[-1].usage.extras.characters == len(LINE)


def test_speech_that_streams(client: openai.OpenAI) -> None:
    with client.audio.speech.with_streaming_response.create(
        model="announcer", voice="alloy", input=LINE * 20, response_format="pcm"
    ) as answer:
        parts = list(answer.iter_bytes(16_384))
    assert answer.headers["content-type"] == "audio/pcm" and len(parts) > 10
    assert sum(map(len, parts)) == 2 * round(24_000 * len(LINE) * 20 / 15.0)


def test_vectors(service: Service, client: openai.OpenAI) -> None:
    texts = ["the old map", "the old map of the town", "a violin"]
    raw = client.embeddings.with_raw_response.create(model="auto", input=texts, dimensions=64)
    answer = raw.parse()
    vectors = [each.embedding for each in answer.data]
    assert [len(each) for each in vectors] == [64] * 3
    assert all(math.isclose(math.hypot(*each), 1.0, rel_tol=1e-5) for each in vectors)
    near, far = (sum(a * b for a, b in zip(vectors[0], v, strict=True)) for v in vectors[1:])
    assert near > far
    assert (
        answer.model == raw.headers["x-headgate-deployment"] in ("compass-south", "compass-north")
    )
    plain = client.embeddings.create(
        model="auto", input=texts[0], dimensions=64, encoding_format="float"
    )
    assert plain.data[0].embedding == pytest.approx(vectors[0], abs=1e-6), "the same space"
    tokens = client.embeddings.create(model="auto", input=[[1, 2, 3], [4, 5]])
    assert len(tokens.data) == 2 and tokens.usage.prompt_tokens == 5
    case = ended(service, raw.headers["x-headgate-decision-id"])
    assert case.decision.task == "embedding" and case.outcome is not None
    assert case.outcome.usage.tokens_in == answer.usage.prompt_tokens


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("images/generations", {"prompt": "x", "n": 11}, "n"),
        ("images/generations", {"prompt": "x", "stream": True}, "stream"),
        ("images/generations", {"prompt": "x", "headgate": {"queue": True}}, "headgate.queue"),
        ("images/generations", {"prompt": "x", "headgate": {"speed": 1}}, "headgate"),
        ("audio/speech", {"input": "x", "voice": "v", "response_format": "mod"}, "response_format"),
        ("audio/speech", {"input": "x"}, "voice"),
        ("embeddings", {"input": ["a", 1]}, "input"),
        ("embeddings", {"input": []}, "input"),
    ],
)
def test_what_cannot_be_is_refused_by_name(
    service: Service, path: str, body: dict[str, Any], param: str
) -> None:
    answer = httpx.post(
        f"{service.url}/v1/{path}", headers={"authorization": f"Bearer {KEY}"},
        json={"model": "auto"} | body,
    )  # fmt: skip
    assert answer.status_code == 400 and answer.json()["error"]["param"] == param


def test_no_request_meets_another_modality(service: Service, client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="lacks chat"):
        client.chat.completions.create(
            model="fresco", messages=[{"role": "user", "content": "hello"}]
        )
    with pytest.raises(openai.BadRequestError, match="lacks image"):
        client.images.generate(model="fall", prompt="x")
    with pytest.raises(openai.BadRequestError, match="lacks mp3"):
        client.audio.speech.create(model="auto", voice="alloy", input="x")
    answer = client.chat.completions.with_raw_response.create(
        model="auto", messages=[{"role": "user", "content": "hello"}]
    )
    case = ended(service, answer.headers["x-headgate-decision-id"])
    others = {"fresco", "sketch", "announcer", "whisperer", "compass-south", "compass-north"}
    assert not others & set(case.decision.candidates.names)
    listed = [each.id for each in client.models.list()]
    assert listed[0] == "auto" and others < set(listed)
    with pytest.raises(openai.BadRequestError, match="answers chat alone"):
        client.images.generate(model="workflow:best-of-n", prompt="x")


def test_a_refusal_is_not_sent_again(
    service: Service, client: openai.OpenAI, providers: Server
) -> None:
    def refused() -> dict[str, Any]:
        with pytest.raises(openai.BadRequestError) as found:
            client.images.generate(model="fresco", prompt="simulate a refusal of a picture")
        error: dict[str, Any] = found.value.body  # type: ignore[assignment]
        return error

    calls = httpx.get(providers.url + "/calls").json()["calls"].get("pigment", 0)
    first, second = refused(), refused()
    assert (
        first["code"] == second["code"] == "content_policy_violation"
        and "incident" in first["message"]
    )
    assert "not sent again" in second["message"]
    assert httpx.get(providers.url + "/calls").json()["calls"]["pigment"] == calls + 1


def test_overrides_and_breakers_stand_before_pictures(service: Service) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    laid = httpx.post(
        service.url + "/admin/overrides", headers=headers,
        json={"action": "exclude", "deployment": "fresco", "reason": "it is repainted",
              "author": "me"},
    )  # fmt: skip
    assert laid.status_code == 201, laid.text
    asked = {"model": "auto", "prompt": "A mug", "size": "16x16"}
    got = httpx.post(service.url + "/v1/images/generations", headers=headers, json=asked)
    assert got.headers["x-headgate-deployment"] == "sketch"
    pinned = httpx.post(
        service.url + "/v1/images/generations", headers=headers, json=asked | {"model": "fresco"}
    )
    assert pinned.status_code == 503 and "excluded by an operator" in pinned.text
    lifted = httpx.post(
        f"{service.url}/admin/overrides/{laid.json()['id']}/lift", headers=headers,
        json={"reason": "it is dry again", "author": "me"},
    )  # fmt: skip
    assert lifted.status_code == 200, lifted.text


def test_failures_go_on_to_the_next(service: Service, providers: Server) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    httpx.post(providers.url + "/control", json={"model": "pigment", "error_rate": 1.0})
    try:
        body = {"model": "auto", "prompt": "A jug", "size": "16x16",
                "metadata": {"type": "product_photo"}}  # fmt: skip
        got = httpx.post(service.url + "/v1/images/generations", headers=headers, json=body)
    finally:
        httpx.post(providers.url + "/control", json={"model": "pigment"})
    assert got.status_code == 200 and got.headers["x-headgate-fallback-from"] == "fresco"
    assert got.headers["x-headgate-deployment"] == "sketch"
    json.loads(got.content)
