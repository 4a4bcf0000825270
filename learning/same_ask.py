"""What two wordings of one wish must have in common: numbers, names, negations, dates, quotes.

An embedding hardly tells "with" from "without", 14 from 41, or Paris from Rome; these parts are
compared as they are, in their order. Code is never compared: such a text has no wording.
"""

from __future__ import annotations

import re


def _words(told: str) -> frozenset[str]:
    return frozenset(told.split())


_NUMBERS = _words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty "
    "ninety hundred thousand million billion half third quarter double triple twice second fourth "
    "fifth dozen both single once"
)
_NEGATIONS = _words(
    "no not never none nor neither nobody nothing nowhere without cannot except unless but "
    "exclude excluding avoid instead rather only hardly isn aren don doesn didn won wouldn can't "
    "couldn shouldn wasn weren hasn haven ain dont cant wont doesnt isnt non un anti "
    # German, French, Spanish, Italian, Portuguese, Dutch: where no letter beyond ASCII tells it
    "nicht kein keine keinen keinem keiner keines nie niemals ohne ne pas jamais sans aucun aucune "
    "sin nunca jamas ningun ninguna senza mai nessun sem nem niet geen nooit zonder"
)
_DATES = _words(
    "january february march april may june july august september october november december jan "
    "feb mar apr jun jul aug sep sept oct nov dec monday tuesday wednesday thursday friday "
    "saturday sunday today tomorrow yesterday tonight now current currently latest newest recent "
    "this next previous past ago since until week month year day hour minute weekend summer "
    "winter spring autumn morning evening weekly monthly yearly daily annual annually hourly"
)
# Words that turn a wish to its opposite, or to another one, without sounding otherwise.
_TURNS = _words(
    "before after above below over under more less fewer most least minimum maximum min max best "
    "worst first last highest lowest higher lower increase decrease raise reduce buy sell open "
    "close start stop begin end enable disable add remove install uninstall allow deny accept "
    "reject send receive import export upload download encrypt decrypt lock unlock login logout "
    "subscribe unsubscribe activate deactivate connect disconnect create delete join leave enter "
    "exit hire fire win lose pass fail up down left right in out on off into cheap cheapest "
    "expensive hot cold big small large short long old new young early late fast slow good bad "
    "pros cons advantages disadvantages advantage disadvantage benefits risks positive negative "
    "safe unsafe legal illegal possible impossible true false male female men women man woman boy "
    "girl adult child children adults dog cat dogs cats asc desc ascending descending north south "
    "east west upgrade downgrade push pull read write love hate public private cancel keep change "
    "renew pause resume borrow lend debit credit inbound outbound arrival departure arrive depart "
    "largest smallest biggest longest shortest oldest youngest earliest tallest nearest farthest "
    "free antonym synonym antonyms synonyms same different similar singular plural gain loss rise "
    "fall"
)
_ASKS = {
    "who": "who", "whose": "who", "when": "when", "where": "where", "why": "why", "how": "how",
    "much": "much", "many": "much",
}  # fmt: skip
# Words that begin a sentence, and are a name for that reason alone.
_OPENERS = _words(
    "a an the what whats which who whose when where why how is are was were do does did can could "
    "would should will shall may might must please tell give show list name explain describe find "
    "write summarize summarise translate compare i i'd i'm i've my me we our you your if in on at "
    "for from to of it its this that these those there hello hi hey thanks thank and or so also "
    "let help need want get make classify define calculate compute state identify mention provide "
    "suggest recommend say answer any some have has had be been as with about by during quick "
    "quickly could've kindly ok okay well just"
)
_QUOTED = re.compile(r"\"[^\"]{1,300}\"|“[^”]{1,300}”|«[^»]{1,300}»|(?<!\w)'[^']{1,300}'(?!\w)")
_TOKEN = re.compile(
    r"(?<!\w)-?\d+(?:[.,:/-]\d+)*(?:\s?[^\W\d_]{1,3}(?!\w))?|\d+"  # with a short word: a unit
    r"|[^\W\d_]+(?:['’][^\W\d_]+)*"
    r"|[^\w\s.,!?:()'\"“”«»‘’…–—-]|(?<=\w)-(?!\w)"  # signs: of money, of sums, of C++ and A-
)
_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]")
_CODE = re.compile(
    r"[`{}<>;\\|=]|\w\(|\)\.|://|@\w|#\w|\w_\w|[a-z]\.[a-z]|^\s*(?:def|class|import|select) ",
    re.MULTILINE | re.IGNORECASE,
)
_MARKS = "'\"“”«»"
MOST_PARTS = 64


def fixed_parts(text: str) -> tuple[str, ...] | None:
    """The parts that must be the same in another wording, in a form that can be compared; None
    where there is no saying: code, addresses, signs that nobody sees, or too many of them.
    """
    if _CODE.search(text) is not None or _UNSEEN.search(text) is not None:
        return None
    found = [f"quoted:{each.strip(_MARKS)}" for each in _QUOTED.findall(text)]
    found.append(f"quotes:{sum(map(text.count, _MARKS[1:]))}")
    turned: list[str] = []
    asks: set[str] = set()
    for token in _TOKEN.findall(text):
        word = token.lower().replace("’", "'")
        plain = "".join(word.removesuffix("'s").split())
        if word.endswith("n't") or plain in _NEGATIONS:
            turned.append("not" if plain not in ("only", "but", "instead", "rather") else plain)
        elif plain in _ASKS:
            asks.add(_ASKS[plain])
        if not token[0].isalpha() or plain in _NUMBERS:
            found.append(f"number:{plain}")
        elif plain in _DATES and plain != "may":
            found.append(f"date:{plain}")
        elif plain in _TURNS:
            turned.append(plain)
        elif token[0].isupper() and plain not in _OPENERS:
            found.append(f"name:{plain}")
        elif not token[0].isascii() or not token.isascii():
            found.append(f"name:{plain}")  # of another script or tongue: as it stands
    found += [f"turn:{each}" for each in sorted(turned)]
    found += [f"asks:{each}" for each in sorted(asks)]
    return tuple(found) if len(found) <= MOST_PARTS else None


def same_words(text: str) -> str:
    """The text without what does not count between two answers: case, marks, decoration, spaces."""
    return " ".join(_WORD.findall(text.lower().replace("’", "'")))


_WORD = re.compile(
    r"[-+]?\d+(?:[.,:/]\d+)*|[^\W\d_]+(?:'[^\W\d_]+)*"
    r"|[^\w\s.,!?;:'\"()\[\]{}*_#`~•“”«»‘’…–—-]|(?<=\w)(?:#|-(?!\w))|(?<=\S )\*(?= )"
)
_FENCE = "```"


def same_answer(first: str, second: str, most_apart: float = 0.0) -> bool:
    """Whether two answers say the same: the same words in the same order; or, with ``most_apart``,
    words of which at most that share stands in one of them alone, and the same fixed parts.
    """
    if _FENCE in first or _FENCE in second:  # code: every mark counts
        return first.split() == second.split()
    one, other = same_words(first), same_words(second)
    if one == other:
        return bool(one) or first.strip() == second.strip()
    if most_apart <= 0.0:
        return False
    words, others = set(one.split()), set(other.split())
    apart = len(words ^ others) / max(len(words | others), 1)
    return apart <= most_apart and _kept(first) == _kept(second)


def _kept(text: str) -> tuple[tuple[str, ...], ...]:
    """Numbers, names, negations of an answer, in whatever order."""
    parts = fixed_parts(_CODE.sub(" ", text)) or ()
    fixed = sorted(each for each in parts if not each.startswith(("asks:", "quotes:")))
    return (tuple(fixed),)
