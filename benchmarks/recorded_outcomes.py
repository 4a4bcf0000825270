"""Route recorded outcomes of real models through the whole service, with the OpenAI SDK.

    python -m benchmarks.recorded_outcomes --outcomes FILE.parquet [--requests 2400]
        [--budget 0.002] [--seeds 3] [--json OUT]

Simulated providers answer for the recorded models: a call costs what was recorded, to the
micro-dollar, and the answer is rated with the recorded reward through /v1/feedback.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import threading
from dataclasses import asdict
from pathlib import Path

import httpx
import numpy as np
import openai
import pandas as pd
import uvicorn

from benchmarks.processes import KEY, Child, wait_ready
from experiments.offline.baselines import Compared, Known, compare, static_mix
from service.providers.simulated import Simulated, Weather
from service.simulate import SimulatedProviders

AT_ONCE = 16
LATENCY_S = 0.004


class Recorded:
    """A behaviour that replays: what each model did with each prompt."""

    def __init__(self, known: Known, prompts: list[str]) -> None:
        self.known = known
        self._row = {prompt: i for i, prompt in enumerate(prompts)}
        self._column = {name: j for j, name in enumerate(known.names)}

    @property
    def models(self) -> tuple[str, ...]:
        return self.known.names

    def set_weather(self, model: str, weather: Weather) -> None:
        raise ValueError("recorded outcomes know no weather")

    def answer(self, model: str, prompt: str, tokens_in: int) -> Simulated:
        """Output tokens are the recorded micro-dollars; the plan's price is one each."""
        at = self._row[prompt], self._column[model]
        tokens = max(1, round(float(self.known.cost_usd[at]) * 1e6))
        return Simulated(
            200, LATENCY_S, tokens_in, tokens, float(self.known.reward[at]), "recorded"
        )


def read(path: Path, count: int, seed: int, only: list[str]) -> tuple[Known, list[str]]:
    """Some prompts of a set in a seeded order, with every outcome."""
    frame = pd.read_parquet(path)
    if only:
        frame = frame[frame["model"].isin(only)]
    first = frame.drop_duplicates("prompt_id").drop_duplicates("prompt")
    ids = first["prompt_id"].sample(frac=1.0, random_state=seed).head(count)
    reward = frame.pivot(index="prompt_id", columns="model", values="reward").loc[ids]
    cost = frame.pivot(index="prompt_id", columns="model", values="cost_usd").loc[ids]
    prompts = first.set_index("prompt_id")["prompt"].loc[ids].tolist()
    # Costs as they will be billed: whole micro-dollars, at least one.
    billed = np.maximum(np.round(cost.to_numpy() * 1e6), 1.0) / 1e6
    return Known(tuple(reward.columns), reward.to_numpy(dtype=float), billed), prompts


def plan(known: Known, url: str, budget: float | None) -> str:
    """A plan whose deployments are the recorded models."""
    price = {"input_usd_per_mtok": 0, "output_usd_per_mtok": 1}
    content: dict[str, object] = {
        "deployments": [
            {"name": name.replace(" ", "-"), "provider": "recorded", "base_url": url + "/v1",
             "model": name, "price": price, "context_window": 1_000_000}
            for name in known.names
        ],
        "reward": {"worth_usd": 1e6, "patience_s": 1e6},
    }  # fmt: skip
    if budget is not None:
        content["budgets"] = {"usd_per_request": budget}
    return json.dumps(content)  # JSON is YAML


class Upstream:
    """The simulated providers in a thread of this process."""

    def __init__(self, behaviour: Recorded) -> None:
        config = uvicorn.Config(
            SimulatedProviders(behaviour).app(), port=0, log_level="error", access_log=False
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            threading.Event().wait(0.01)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"

    def end(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)


async def drive(url: str, known: Known, prompts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Send every prompt by the SDK, rate every answer; reward and cost of what was served."""
    column = {name.replace(" ", "-"): j for j, name in enumerate(known.names)}
    reward, cost = np.zeros(len(prompts)), np.zeros(len(prompts))
    client = openai.AsyncOpenAI(base_url=url + "/v1", api_key=KEY, max_retries=0)
    rater = httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {KEY}"})
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(index: int) -> None:
        async with gate:
            raw = await client.chat.completions.with_raw_response.create(
                model="auto", messages=[{"role": "user", "content": prompts[index]}]
            )
            answer = raw.parse()
            value = float(known.reward[index, column[answer.model]])
            rated = await rater.post("/v1/feedback", json={"id": answer.id, "value": value})
            rated.raise_for_status()
            reward[index], cost[index] = value, float(raw.headers["x-headgate-cost"])

    await asyncio.gather(*(one(index) for index in range(len(prompts))))
    await client.close()
    await rater.aclose()
    return reward, cost


def run(path: Path, o: argparse.Namespace, seed: int) -> dict[str, object]:
    """One seed, on a fresh state directory."""
    known, prompts = read(path, o.requests, seed, o.models)
    upstream = Upstream(Recorded(known, prompts))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "plan.yaml"
        file.write_text(plan(known, upstream.url, o.budget))
        state = str(Path(folder) / "state")
        service = Child("-m", "service.cli", "serve", "--plan", str(file), "--state", state,
                        "--port", "0")  # fmt: skip
        try:
            wait_ready(service.url)
            reward, cost = asyncio.run(drive(service.url, known, prompts))
        finally:
            service.end()
            upstream.end()
    rows = compare(known, reward, cost)
    half = len(reward) // 2
    found: dict[str, object] = {
        "seed": seed, "requests": len(prompts), "rows": [asdict(row) for row in rows],
        "reward_second_half": float(reward[half:].mean()),
        "cost_usd_a_request": float(cost.mean()),
    }  # fmt: skip
    if o.budget is not None:
        found["spend_over_budget"] = float(cost.mean()) / o.budget
        found["best_static_mix_at_budget"] = static_mix(known, o.budget)[0]
    show(rows, found)
    return found


def show(rows: list[Compared], found: dict[str, object]) -> None:
    """A table."""
    print(f"\nseed {found['seed']}, {found['requests']} prompts through the OpenAI SDK")
    for row in rows:
        gain = row.reward_gain
        print(
            f"  {row.name[:70]:70} reward {row.reward}  $ {row.spend_usd:8.4f}   "
            f"ours {gain.estimate:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]"
        )
    rest = {k: v for k, v in found.items() if k not in ("rows", "seed", "requests")}
    print("  " + ", ".join(f"{k} {v:.4f}" for k, v in rest.items()))  # type: ignore[str-bytes-safe]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--outcomes", type=Path, required=True)
    parser.add_argument("--requests", type=int, default=2_400)
    parser.add_argument("--budget", type=float, default=None, help="dollars a request")
    parser.add_argument("--models", nargs="*", default=[], help="only these models of the set")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--json", type=Path)
    o = parser.parse_args()
    if not o.outcomes.exists():
        raise SystemExit(
            f"{o.outcomes} is not there. This benchmark replays recorded outcomes, which are no "
            "part of the project: give a Parquet file with the columns prompt_id, prompt, model, "
            "reward and cost_usd."
        )
    found = [run(o.outcomes, o, seed) for seed in range(o.seeds)]
    if o.json:
        o.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
