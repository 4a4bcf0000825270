"""The demo: simulated providers, the service, traffic, and what it learns, live."""

from __future__ import annotations

import asyncio
import secrets
import signal
import sys
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from experiments.offline.baselines import Compared, Known, compare
from learning.reward import Reward, RewardScale, value
from service.client import AsyncClient, ServiceError
from service.config import process_environment
from service.providers.simulated import Simulated, Stream, Weather, prompts

PLAN = Path(__file__).parent / "demo.yaml"
BROKEN = Weather(latency_factor=5.0, error_rate=0.6)
VICTIM = "river"
START_S = 30.0
SCALE = RewardScale(worth_usd=0.05, patience_s=20.0)  # as in the demo's plan


@dataclass(frozen=True, slots=True)
class Settings:
    """How long, how much, and from which seed."""

    seconds: float
    rate: float
    seed: int
    quiet: bool = False


@dataclass(slots=True)
class Seen:
    """What the demo's caller saw."""

    asked: list[tuple[str, str, Weather]] = field(default_factory=list)  # prompt, served, weather
    costs: list[float] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    failed: int = 0
    answered: int = 0
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=300))
    shares: list[tuple[float, float]] = field(default_factory=list)  # time, victim's share
    weights: list[dict[str, Any]] = field(default_factory=list)
    status: dict[str, Any] = field(default_factory=dict)
    judged: list[dict[str, Any]] = field(default_factory=list)  # quality by a judge


@dataclass(frozen=True, slots=True)
class Report:
    """What came of it."""

    answered: int
    failed: int
    phases: dict[str, float | None]  # the victim's share before, during, after
    compared: Sequence[Compared]
    complete: bool
    judged: Sequence[dict[str, Any]] = ()

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "answered": self.answered,
            "failed": self.failed,
            "share_of_" + VICTIM: self.phases,
            "savings": [asdict(each) for each in self.compared],
            "complete": self.complete,
            "judged": list(self.judged),
        }

    def show(self, console: Console) -> None:
        """For people."""
        told = ", ".join(
            f"{name} {'-' if share is None else f'{share:.0%}'}"
            for name, share in self.phases.items()
        )
        console.print(
            f"\n{self.answered} answered, {self.failed} failed. {VICTIM}'s share of all tasks: "
            f"{told}.",
            highlight=False,
        )
        self._show_judged(console)
        table = Table(box=None, pad_edge=False, title_justify="left")
        table.title = "the same requests by other ways, every outcome known"
        for name in ("way to route", "reward", "spend $"):
            table.add_column(name, justify="left" if name == "way to route" else "right")
        for each in self.compared:
            table.add_row(each.name, f"{each.reward.estimate:.3f}", f"{each.spend_usd:.4f}")
        console.print(table)
        console.print("\nheadgate beside each, a request, with 95 % intervals:")
        for each in self.compared[1:]:
            gain, saved = each.reward_gain, each.saved_usd
            console.print(
                f"  {each.name}: reward {gain.estimate:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}], "
                f"saved {saved.estimate * 1e3:+.3f} [{saved.low * 1e3:+.3f}, "
                f"{saved.high * 1e3:+.3f}] thousandths of a dollar",
                highlight=False,
                markup=False,
            )
        console.print(
            "Reward is quality less what its cost and waiting are worth by the plan, in [0, 1]. "
            "The others have no fallback: a call that fails earns them nothing.",
            style="dim",
        )

    def _show_judged(self, console: Console) -> None:
        words = (
            "{judge} judges {deployment} at {mean:.2f}; corrected by those who rated it is "
            "{estimate:.2f} [{low:.2f}, {high:.2f}], and in truth {true:.2f}"
        )
        for each in self.judged:
            console.print(words.format(**each), highlight=False, markup=False)


def judged(seen: Seen, seed: int) -> list[dict[str, Any]]:
    """A deployment's quality as a biased judge has it, corrected by those who rated, and true."""
    true: dict[str, list[float]] = {}
    for text, model, weather in seen.asked:
        if model:
            world = Stream(seed=seed, weather={VICTIM: weather})
            true.setdefault(model, []).append(world.answer(model, text, 1).quality)
    return [
        {"judge": by["judge"], "deployment": (name := d["deployment"]), "mean": d["judge_mean"],
         **d["corrected"], "true": _mean(true[name])}
        for by in seen.judged
        for d in by["deployments"]
        if d["task"] is None and d["corrected"] and d["deployment"] in true
    ]  # fmt: skip


async def play(settings: Settings) -> Report:
    """Run the demo; ends by itself after about ``seconds``, whatever happens."""
    console = Console(stderr=settings.quiet)
    with tempfile.TemporaryDirectory(prefix="headgate-demo-") as folder:
        key = "hg-demo-" + secrets.token_urlsafe(16)
        async with Child("simulate", "--seed", str(settings.seed)) as providers:
            plan = Path(folder) / "plan.yaml"
            plan.write_text(PLAN.read_text("utf-8").replace("PROVIDERS", providers.url))
            state = str(Path(folder) / "state")
            async with Child("serve", "--plan", str(plan), "--state", state, key=key) as service:
                return await _Play(settings, console, service.url, providers.url, key).run()


class _Play:
    """One run: traffic, the weather, the picture."""

    def __init__(
        self, settings: Settings, console: Console, service: str, providers: str, key: str
    ) -> None:
        self._settings = settings
        self._console = console
        self._client = AsyncClient(service, key)
        self._providers = AsyncClient(providers, "none")
        self._seen = Seen()
        self._world = Stream(seed=settings.seed)
        self._started = time.monotonic()
        self._rater = np.random.default_rng(settings.seed)

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    def _phase(self) -> str:
        share = self._elapsed / self._settings.seconds
        return "before" if share < 0.35 else "during" if share < 0.55 else "after"

    async def run(self) -> Report:
        """Traffic until the time is over, then the report."""
        with Live(
            console=self._console, refresh_per_second=4, transient=False,
            auto_refresh=not self._settings.quiet,
        ) as live:  # fmt: skip
            jobs = [
                asyncio.create_task(self._traffic()),
                asyncio.create_task(self._change_weather()),
                asyncio.create_task(self._watch(live)),
            ]
            await asyncio.sleep(self._settings.seconds)
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
        with suppress(ServiceError, KeyError):
            self._seen.judged = (await self._client.get("/admin/judge/quality"))["judges"]
        await self._client.close()
        await self._providers.close()
        return self._report()

    async def _traffic(self) -> None:
        texts = prompts(self._settings.seed, int(self._settings.rate * self._settings.seconds) + 1)
        running: set[asyncio.Task[None]] = set()
        try:
            for index, text in enumerate(texts):
                due = index / self._settings.rate
                await asyncio.sleep(max(due - self._elapsed, 0.0))
                task = asyncio.create_task(self._ask(text))
                running.add(task)
                task.add_done_callback(running.discard)
        finally:
            for task in running:
                task.cancel()

    async def _ask(self, text: str) -> None:
        began = time.monotonic()
        body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
        weather = self._world.weather.get(VICTIM, Weather())
        status, answer, headers = await self._client.post("/v1/chat/completions", body)
        if status != 200:
            self._seen.failed += 1
            self._seen.took.append(time.monotonic() - began)
            self._seen.asked.append((text, "", weather))
            self._seen.costs.append(0.0)
            return
        self._seen.answered += 1
        self._seen.took.append(time.monotonic() - began)
        self._seen.latencies.append(self._seen.took[-1])
        self._seen.asked.append((text, answer["model"], weather))
        self._seen.costs.append(float(headers["x-headgate-cost"]))
        if self._rater.random() < 0.7:  # not everybody rates
            quality = self._quality(text, answer["model"], weather)
            await self._client.post("/v1/feedback", {"id": answer["id"], "value": quality})

    def _quality(self, text: str, model: str, weather: Weather) -> float:
        world = Stream(seed=self._settings.seed, weather={VICTIM: weather})
        return world.answer(model, text, 1).quality

    async def _change_weather(self) -> None:
        for phase, weather in (("during", BROKEN), ("after", Weather())):
            while self._phase() != phase:
                await asyncio.sleep(0.05)
            self._world.set_weather(VICTIM, weather)
            await self._providers.post("/control", {"model": VICTIM} | asdict(weather))

    async def _watch(self, live: Live) -> None:
        while True:
            try:
                self._seen.weights = (await self._client.get("/admin/weights"))["weights"]
                self._seen.status = await self._client.get("/admin/status")
            except (ServiceError, KeyError):
                pass
            shares = [w["share"] for w in self._seen.weights if w["deployment"] == VICTIM]
            if shares:
                self._seen.shares.append((self._elapsed, sum(shares) / len(shares)))
            if not self._settings.quiet:
                live.update(self._picture())
            await asyncio.sleep(0.5)

    def _picture(self) -> Group:
        words = {
            "before": "all is well: it learns who is good at what",
            "during": f"{VICTIM} is slow and failing: watch its weight",
            "after": f"{VICTIM} is well again",
        }
        head = Text(f"{self._elapsed:5.1f} s  {words[self._phase()]}", style="bold")
        return Group(head, _weights_table(self._seen.weights), Text(self._numbers()))

    def _numbers(self) -> str:
        times = sorted(self._seen.latencies)
        middle = times[len(times) // 2] if times else 0.0
        tail = times[int(0.95 * len(times))] if times else 0.0
        spent = self._seen.status.get("cost_usd", 0.0)
        calls = self._seen.status.get("deployments", [])
        errors = ", ".join(f"{d['deployment']} {d['errors']}/{d['calls']}" for d in calls)
        return (
            f"{self._seen.answered} answered, {self._seen.failed} failed   spend ${spent:.4f}   "
            f"p50 {middle:.2f} s  p95 {tail:.2f} s\nfailed calls: {errors}"
        )

    def _report(self) -> Report:
        seconds = self._settings.seconds
        spans = {"before": (0.2, 0.35), "during": (0.45, 0.55), "after": (0.8, 1.0)}
        phases = {
            name: _mean([s for t, s in self._seen.shares if low * seconds <= t < high * seconds])
            for name, (low, high) in spans.items()
        }
        complete = len(self._seen.costs) >= 2 and None not in phases.values()
        compared = self._compared() if len(self._seen.costs) >= 2 else []
        told = judged(self._seen, self._settings.seed)
        return Report(self._seen.answered, self._seen.failed, phases, compared, complete, told)

    def _compared(self) -> list[Compared]:
        models = self._world.models
        prices = {c.model: (c.price_in, c.price_out) for c in self._world.characters}
        rewards = np.zeros((len(self._seen.asked), len(models)))
        costs = np.zeros_like(rewards)
        served = np.zeros(len(rewards))
        for i, (text, model, weather) in enumerate(self._seen.asked):
            world = Stream(seed=self._settings.seed, weather={VICTIM: weather})
            for j, name in enumerate(models):
                shown = world.answer(name, text, len(text) // 4 + 12)
                tokens = (shown.tokens_in, shown.tokens_out)
                costs[i, j] = sum(p * n for p, n in zip(prices[name], tokens, strict=True)) / 1e6
                rewards[i, j] = _reward(shown, costs[i, j], shown.latency_s, shown.status != 200)
            # What was served did answer, after a fallback if need be, and took what it took.
            if not model:
                continue  # nobody answered: no reward
            shown = world.answer(model, text, 1)
            served[i] = _reward(shown, self._seen.costs[i], self._seen.took[i], failed=False)
        return compare(Known(models, rewards, costs), served, np.array(self._seen.costs))


def _reward(shown: Simulated, cost_usd: float, latency_s: float, failed: bool) -> float:
    return value(Reward(shown.quality, cost_usd, latency_s, failed=failed), SCALE) or 0.0


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _weights_table(weights: Sequence[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    widths = {"task": 5, "deployment": 10, "share": 5, "": 12, "state": 12, "quality": 7,
              "errors": 6, "latency": 7}  # fmt: skip
    for name, width in widths.items():
        table.add_column(name, no_wrap=True, min_width=width)
    table.add_column("moved by", no_wrap=True)
    for each in sorted(weights, key=lambda w: (w["task"], w["cost_usd"])):
        table.add_row(
            each["task"], each["deployment"], f"{each['share']:4.0%}",
            "█" * round(each["share"] * 12), each["state"], f"{each['quality']:.2f}",
            f"{each['error_rate']:.0%}", f"{each['latency_s']:.2f} s", each["why"],
        )  # fmt: skip
    return table


class Child:
    """A command of ours as a process of its own, on a free port of loopback."""

    def __init__(self, command: str, *arguments: str, key: str = "") -> None:
        self._argv = ["-m", "service.cli", command, "--port", "0", *arguments]
        self._environment = process_environment() | {"PYTHONUNBUFFERED": "1"}
        if key:
            self._environment["HEADGATE_BOOTSTRAP_KEY"] = key
        self._process: asyncio.subprocess.Process | None = None
        self.url = ""

    async def __aenter__(self) -> Child:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, *self._argv, env=self._environment,
            stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(START_S):
                self.url = await self._listening(self._process)
        except BaseException:
            await self.__aexit__()
            raise
        self._drain = asyncio.create_task(self._discard(self._process))
        return self

    async def _listening(self, process: asyncio.subprocess.Process) -> str:
        assert process.stderr is not None
        heard = []
        async for line in process.stderr:
            heard.append(line.decode())
            if "listening on " in heard[-1]:
                return heard[-1].split("listening on ")[1].strip()
        raise ServiceError("could not be started:\n" + "".join(heard))

    async def _discard(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        async for _ in process.stderr:
            pass

    async def __aexit__(self, *_: object) -> None:
        process = self._process
        if process is not None and process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(10):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
