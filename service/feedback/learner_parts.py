"""What the learner stands on, and what it knows beside the policy."""

from __future__ import annotations

from dataclasses import dataclass, field

from learning.online import OnlineCorrection
from service.domain.clock import Clock
from service.domain.live import LivePolicy
from service.feedback.credit import CreditRules
from service.feedback.freezing import Freeze
from service.storage.event_log import EventLog
from service.storage.versions import VersionStore


@dataclass(frozen=True, slots=True)
class Prediction:
    """The quality model that the policy was last told of, corrected by the ratings since."""

    model_id: str
    online: OnlineCorrection


@dataclass(frozen=True, slots=True)
class LearnerParts:
    """What the learner stands on."""

    log: EventLog
    versions: VersionStore
    live: LivePolicy
    clock: Clock
    rules: CreditRules
    freeze: Freeze = field(default_factory=Freeze)
