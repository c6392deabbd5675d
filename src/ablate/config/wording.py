"""Values and keys in the words of a command line, and what was probably meant by a wrong one."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any


def show(value: Any) -> str:
    """A value as it is typed: true, null, [1,2]."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{','.join(show(each) for each in value)}]"
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{name}:{show(each)}' for name, each in value.items())}}}"
    return str(value)


def nearest(word: str, options: Iterable[str]) -> str | None:
    """The option most like `word`, or one that contains it (`bf16` finds `bf16-mixed`), or None if none is like it."""
    known = {option.lower(): option for option in options}
    spelt = [difflib.get_close_matches(word.lower(), known, n=1, cutoff=cutoff) for cutoff in (0.8, 0.6)]
    parts = [option for option in known if len(word) > 1 and word.lower() in option]
    return next((known[option] for option in (*spelt[0], *parts, *spelt[1])), None)


def nearest_key(key: str, keys: Iterable[str]) -> str | None:
    """The dotted key that was probably meant: a misspelt one, or one whose section was left out or is another."""
    known = list(keys)
    section, _, name = key.rpartition(".")
    neighbours = {known_key.rpartition(".")[2]: known_key for known_key in known if known_key.startswith(f"{section}.")}
    if section and (found := nearest(name, neighbours)):
        return neighbours[found]
    same_name = [known_key for known_key in known if known_key.rpartition(".")[2] == name]
    if same_name:
        return max(same_name, key=lambda known_key: difflib.SequenceMatcher(None, key, known_key).ratio())
    as_deep = [known_key for known_key in known if known_key.count(".") == key.count(".")]
    whole = difflib.get_close_matches(key, as_deep, n=1, cutoff=0.75)
    if whole:
        return whole[0]
    last = {known_key.rpartition(".")[2]: known_key for known_key in known}
    found = nearest(name, last) if len(name) > 2 else None
    return last[found] if found else None
