"""When two answers are the same although their bytes are not."""
import re

from linux import state


def unordered(listing):
    """A listing with the elements of each set in order: a set made anew has places of its own for those that packets add."""
    return re.sub(r"elements = \{([^}]*)\}", lambda found: "elements = { %s }" % ", ".join(sorted(part.strip() for part in found.group(1).split(","))), listing)


def said(answer):
    """What of an answer of nft's does not depend on its version: whether it is an error, and the state that it tells."""
    return "Error" in answer or state(answer)


def alike(left, right):
    """Whether two lists are the same but for a second or two of the rest of a life: the cache counts time by the millisecond, Linux by the wall's clock."""
    left, right = (re.findall(r"^(.*?)(?: seconds=(\d+))?$", text, re.M) for text in (left, right))
    return len(left) == len(right) and all(a == b and abs(int(s or 0) - int(t or 0)) < 3 for (a, s), (b, t) in zip(left, right))
