"""What could be saved, as findings of a review: the same list, its intervals, how to try each."""

from __future__ import annotations

from dataclasses import dataclass

from experiments.errors import CannotSay
from experiments.opportunities.changes import ORDER_WORDS, Batch, Cache, Change, Tier, in_words
from experiments.opportunities.estimating import Estimated, Joint
from experiments.opportunities.listing import LEAST_SHARE, Opportunities
from experiments.reviewing.finding import Finding, scaled, usd, usd_range
from experiments.statistics.moments import Interval

KIND = "opportunity"
MOST = 5  # beside what they save together
WEEK = 7.0


@dataclass(frozen=True, slots=True)
class Offer:
    """The span that the list is of: days as the command takes them, ``until`` the first after."""

    since: str
    until: str


def as_findings(made: Opportunities, offer: Offer) -> list[Finding]:
    """What goes together first, then the first few of the list; one finding where there is none."""
    joint = made.joint
    if not made.found:
        return [] if isinstance(cannot_say(made), CannotSay) else [_none(made, offer)]
    told = [] if isinstance(joint.saved, CannotSay) else [_together(joint, offer)]
    return told + [
        _one(each, at in made.front, joint, offer) for at, each in enumerate(made.found[:MOST])
    ]


def cannot_say(made: Opportunities) -> CannotSay | None:
    """Why the span says nothing of any change; None where it does."""
    if made.found or not made.unsaid:
        return None
    whys = {str(each.saved) for each in made.unsaid if each.refusal is None}
    return CannotSay(whys.pop()) if len(whys) == 1 else None


def _one(each: Estimated, unbeaten: bool, joint: Joint, offer: Offer) -> Finding:
    change, before = each.change, joint.before_micro_usd or 1
    saved = each.saved
    assert isinstance(saved, Interval)
    most = "at most " if isinstance(change, Cache) else ""
    words = [
        f"{in_words(change)} would have saved {most}{usd_range(scaled(saved, 1e-6))}, "
        f"{saved.estimate / before:.1%} of what was paid in {joint.days} days",
    ]
    if isinstance(each.quality, Interval):
        gap = each.quality
        words.append(
            f"quality of an answer {gap.estimate:+.3f} [{gap.low:+.3f} to {gap.high:+.3f}]"
        )
    elif each.quality is not None:
        words.append(f"what it does to the quality of an answer cannot be said: {each.quality}")
    if unbeaten:
        words.append("nothing else saves as much at as little risk")
    words.append(f"it stands on: {each.assumes}")
    subject = {"change": change.text, "task": change.task} if hasattr(change, "task") else {}
    if isinstance(change, Tier):
        subject["deployment"] = change.deployment
    return Finding(
        KIND, f"{KIND}-{change.text.replace(' ', '-')}", _title(change), "; ".join(words),
        _weekly(saved, joint), None, _sql(offer, subject.get("task", "*")),
        _proposal(change), (), subject,
    )  # fmt: skip


def _together(joint: Joint, offer: Offer) -> Finding:
    saved = joint.saved
    assert isinstance(saved, Interval)
    parts = "; ".join(
        f"{each.change.text}: {usd(each.saved_micro_usd / 1e6)}" for each in joint.parts
    )
    words = (
        f"what surely saves and surely loses little would together have saved "
        f"{usd_range(scaled(saved, 1e-6))} of the {usd(joint.before_micro_usd / 1e6)} that were "
        f"paid in {joint.days} days, each counted on what those before it left ({ORDER_WORDS}): "
        f"{parts}. Of caches it is the most that they could save"
    )
    changes = " ".join(f'--change "{each.change.text}"' for each in joint.parts)
    return Finding(
        KIND, f"{KIND}-together", "All that is sure, together", words, _weekly(saved, joint),
        None, _sql(offer), f"see it: headgate cost simulate {changes} {_span(offer)}", (), {},
    )  # fmt: skip


def _none(made: Opportunities, offer: Offer) -> Finding:
    number = len(made.unsaid)
    words = (
        f"no change that could be estimated would have saved {LEAST_SHARE:.1%} of the spend; of "
        f"{number} others nothing can be said"
    )
    return Finding(
        KIND, f"{KIND}-none", "Nothing worth it was found", words,
        CannotSay("nothing worth it was found"), None, _sql(offer),
        f"see why: headgate cost opportunities {_span(offer)}", (), {},
    )  # fmt: skip


def _weekly(saved: Interval, joint: Joint) -> Interval:
    return scaled(saved, 1e-6 * WEEK / joint.days)


def _title(change: Change) -> str:
    told = in_words(change)
    return told[:1].upper() + told[1:]


def _proposal(change: Change) -> str:
    command = f'headgate cost opportunities try "{change.text}"'
    if isinstance(change, Tier):
        return f"{command} (makes a draft experiment; nobody is exposed before it is started)"
    if isinstance(change, Batch):
        return f"{command} (says how callers send them)"
    return f"{command} (prints the part of the plan)"


def _span(offer: Offer) -> str:
    return f"--since {offer.since} --until {offer.until}"


def _sql(offer: Offer, task: str = "*") -> str:
    """What was paid, of which the changes take their part."""
    of = "" if task == "*" else f" AND d.task = {_text(task)}"
    return f"""\
SELECT d.task, coalesce(o.deployment, d.deployment) AS deployment, d.mode, count(*) AS requests,
       sum(o.cost_micro_usd) / 1e6 AS paid_usd
FROM decisions d JOIN outcomes o ON o.decision_id = d.id
WHERE d.ts >= '{offer.since}' AND d.ts < '{offer.until}'{of} GROUP BY ALL ORDER BY ALL"""


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
