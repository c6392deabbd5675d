"""pydantic's errors in our words: the config path, what is allowed, what to type."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from ablate.config.schema import OWNED, Config
from ablate.config.wording import nearest, show
from ablate.errors import Problem


def section_problems(
    section: type[BaseModel], value: Mapping[str, Any], path: str = "", typed: Collection[str] = ()
) -> Iterator[tuple[str, Problem]]:
    """(config path, what is wrong there) for every value of a section, found at `path`, that does not fit.

    `typed`: keys from the command line, which can be left out; others can be removed.
    """
    try:
        section.model_validate(value)
    except ValidationError as errors:
        for error in errors.errors(include_url=False):
            yield _translate(section, error, path, typed)


def words_at(path: str) -> tuple[str, str]:
    """What is allowed at a path of the config, and what to type."""
    section: type[BaseModel] | None = Config
    field = None
    for part in path.split("."):
        field = section.model_fields.get(part) if section else None
        section = _section(field)
    return _words(path, field) if field else ("a value", f"{path}=VALUE")


def _translate(section: type[BaseModel], error: ErrorDetails, path: str, typed: Collection[str]) -> tuple[str, Problem]:
    where, field, inside = _locate(section, error["loc"])
    full = ".".join(part for part in (path, *where) if part)
    value = error["input"]
    if error["type"] == "extra_forbidden":
        return full, _unknown_key(full, value, _names(inside), typed)
    allowed, fix = _words(full, field)
    if error["type"] == "missing":
        return full, Problem(f"{full} is not set", allowed, fix)
    if meant := nearest(str(value), _literals(field.annotation if field else None)):
        fix = f"{full}={meant}"
    if field is not None and get_origin(field.annotation) is dict and len(where) > 1:
        fix = f"~{full}"
    return full, Problem(f"{full}={show(value)}", allowed, fix)


def _unknown_key(path: str, value: Any, known: Collection[str], typed: Collection[str]) -> Problem:
    """A key that its section, with the keys `known`, does not have."""
    section, _, name = path.rpartition(".")
    was_typed = any(f"{key}.".startswith(f"{path}.") for key in typed)
    without = f"leave {path} out" if was_typed else f"~{path}"
    if path in OWNED:
        return Problem(f"{path}={show(value)}", f"not a key of a config: {OWNED[path]}", without)
    names = ", ".join(sorted(other for other in known if not other.startswith("_")))
    allowed = f"the keys of {section or 'a config'}: {names or 'none'}"
    meant = nearest(name, known)
    right = f"{section}.{meant}" if section else meant
    fix = f"{right}={show(value)}" if meant else without
    return Problem(f"{path}={show(value)}: no such key", allowed, fix)


def _locate(
    section: type[BaseModel], loc: tuple[int | str, ...]
) -> tuple[list[str], FieldInfo | None, type[BaseModel]]:
    """Follow an error down: (path, the field it is about, the section that holds it)."""
    where: list[str] = []
    field = None
    for part, rest in ((part, loc[position + 1 :]) for position, part in enumerate(loc)):
        where.append(str(part))
        field = {each.alias or name: each for name, each in section.model_fields.items()}.get(str(part))
        inner = _section(field)
        if inner is None or not rest:
            if field is not None and get_origin(field.annotation) is dict and rest:
                where.append(str(rest[0]))  # an entry of a mapping; for other types the rest says which type failed
            break
        section = inner
    return where, field, section


def _section(field: FieldInfo | None) -> type[BaseModel] | None:
    kind = field.annotation if field else None
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _words(path: str, field: FieldInfo | None) -> tuple[str, str]:
    """What is allowed in a field, and what to type."""
    if field is not None and field.description:
        return field.description, f"{path}={show((field.examples or ['VALUE'])[0])}"
    if inner := _section(field):
        name, first = next(iter(inner.model_fields.items()))
        return f"a mapping with the keys {', '.join(_names(inner))}", _words(f"{path}.{name}", first)[1]
    return "a mapping with a _target_", f"{path}={{_target_:package.module.Class}}"


def _names(section: type[BaseModel]) -> list[str]:
    return [each.alias or name for name, each in section.model_fields.items()]


def _literals(annotation: Any) -> list[str]:
    """The words that a type lists, also within a union."""
    if get_origin(annotation) is Literal:
        return [str(each) for each in get_args(annotation)]
    return [word for inner in get_args(annotation) for word in _literals(inner)]
