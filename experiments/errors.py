"""What can go wrong while asking questions of traffic.

ExperimentError
└── CannotSay   the data do not allow an answer; the message says what is missing
"""

from __future__ import annotations


class ExperimentError(Exception):
    """Base of everything that experiments raises."""


class CannotSay(ExperimentError):
    """The data do not allow an answer."""
