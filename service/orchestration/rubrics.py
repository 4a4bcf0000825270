"""The rubrics that are shipped: by what answers of each task are scored."""

from __future__ import annotations

from service.domain.judging import Rubric

# The first is for every task that has none of its own. Who changes a text raises its version.
SHIPPED = (
    Rubric(
        "general", 1,
        "Does the answer do what the person asked, correctly and completely? Facts that are wrong "
        "count more than facts that are missing. What was not asked for adds nothing. A refusal of "
        "a harmless request is useless; a refusal of a harmful one, with a reason, is right.",
    ),
    Rubric(
        "code", 1,
        "Would the code run as it stands and do what was asked, also for empty, negative and large "
        "input? One fault that gives wrong results outweighs every comment and every explanation. "
        "An explanation is judged by whether it is true of the code.",
        ("code", "coding", "programming", "sql"),
    ),
    Rubric(
        "maths", 1,
        "Work the result out before you look at the answers. Is the final result right? A wrong "
        "result is mostly wrong however well its steps are told; a right one with a broken step "
        "is good, not complete.",
        ("maths", "math", "reasoning", "calculation"),
    ),
    Rubric(
        "extraction", 1,
        "Is everything there that was to be taken out of the text, nothing that the text does not "
        "say, and in the form that was asked for? One invented value makes it mostly wrong.",
        ("extraction", "classification", "structured", "data"),
    ),
    Rubric(
        "summary", 1,
        "Does it say what matters in the text, truly, and within the length that was asked for? "
        "What the text does not say counts as wrong. Longer is not better.",
        ("summary", "summarisation", "summarization"),
    ),
    Rubric(
        "translation", 1,
        "Is the meaning whole, with names, numbers and negations as they were, and does it read "
        "well in the other language? A changed meaning outweighs style.",
        ("translation",),
    ),
    Rubric(
        "writing", 1,
        "Does it fit its purpose, reader, tone and length as asked, with nothing invented that the "
        "writer could not know? Flourish beyond what was asked for adds nothing.",
        ("writing", "creative", "rewriting", "chat", "conversation"),
    ),
)  # fmt: skip
