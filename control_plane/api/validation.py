"""Turns FastAPI's complaints about a request into our errors: body, query, path and headers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel

from control_plane.errors import Invalid, NotFound, PlatformError, invalid
from penstock.api.errors import Violation
from penstock.api.ids import NAME_PATTERN
from penstock.catalogue.violation import violation
from penstock.documents import Place
from penstock.documents.violations import MAX_VIOLATIONS, nearest, violations_from

Details = Mapping[str, Any]
MAX_NAME: Final = 63
MAX_ERRORS: Final = 100
"""So many of a body's errors are looked at: more than are told, since several may tell the same."""
_NO_PLACES: Final[Mapping[str, Place]] = {}


def validation_error(
    errors: Sequence[Details],
    body_model: type[BaseModel] | None,
    document: object,
    places: Mapping[str, Place] = _NO_PLACES,
) -> PlatformError:
    """One error that says everything. A path that cannot name anything is a NotFound, unless it
    would name something new.
    """
    by_part: dict[str, list[Details]] = {}
    for details in errors:
        by_part.setdefault(str(details["loc"][0]), []).append(details)
    if "path" in by_part and not _names_something_new(by_part["path"][0]):
        word = str(by_part["path"][0].get("input"))[:80]
        return NotFound("not_found", name=word)
    found = [
        *(
            one.model_copy(update={"pointer": "name"})
            for one in _parameters(by_part.get("path", ()), "")
        ),
        *_parameters(by_part.get("query", ()), "?"),
        *(
            one.model_copy(update={"pointer": one.pointer.title()})
            for one in _parameters(by_part.get("header", ()), "")
        ),
        *_body(by_part.get("body", ()), body_model, document, places),
    ]
    return invalid(found or [violation("", "not_a_value")], model=_described(found, body_model))


def unknown_parameters(given: Iterable[str], known: Sequence[str]) -> list[Violation]:
    """A violation for each query parameter that the route does not have, up to the most told."""
    return [
        violation(
            f"?{name[:80]}",
            "unknown_parameter",
            allowed=known,
            did_you_mean=nearest(name, known),
            name=name[:80],
        )
        for name in [one for one in given if one not in known][:MAX_VIOLATIONS]
    ]


def parameter_error(found: Sequence[Violation], errors: Sequence[Details]) -> Invalid:
    """Unknown and doubled parameters together with what is wrong with the known ones."""
    everything = [*found, *_parameters(errors, "?")]
    return invalid(everything, "invalid_parameter")


def _parameters(errors: Iterable[Details], mark: str) -> list[Violation]:
    class _Any(BaseModel):
        """Parameters have no model of their own; only messages are wanted."""

    found = []
    for details in errors:
        name = str(details["loc"][1]) if len(details["loc"]) > 1 else ""
        if details["type"] == "missing":
            found.append(violation(f"{mark}{name}", "missing"))
        else:
            wrong = violations_from([{**details, "loc": ()}], _Any, details.get("input"))[0]
            found.append(wrong.model_copy(update={"pointer": f"{mark}{name}"}))
    return found


def _body(
    errors: Iterable[Details],
    model: type[BaseModel] | None,
    document: object,
    places: Mapping[str, Place],
) -> list[Violation]:
    inner = [{**details, "loc": tuple(details["loc"][1:])} for details in errors]
    inner = [details for details in inner if not _only_follows(details, inner)]
    if not inner:
        return []
    found = violations_from(inner, model or BaseModel, document)
    return [_placed(_aimed(one, model), places) for one in found]


def _names_something_new(details: Details) -> bool:
    limits = details.get("ctx", {})
    return bool(limits.get("pattern") == NAME_PATTERN or limits.get("max_length") == MAX_NAME)


def _only_follows(details: Details, errors: Iterable[Details]) -> bool:
    """A list is also "too short" once its wrong items are left out: that is no news."""
    loc = details["loc"]
    return details["type"] == "too_short" and any(
        len(other["loc"]) > len(loc) and other["loc"][: len(loc)] == loc for other in errors
    )


def _aimed(wrong: Violation, model: type[BaseModel] | None) -> Violation:
    """An unknown field that is at home elsewhere in the document is told where."""
    if wrong.did_you_mean is not None or model is None or wrong.code != "extra_forbidden":
        return wrong
    name = wrong.pointer.rpartition("/")[2]
    home = next((path for path in _paths(model) if path.rpartition(".")[2] == name), None)
    return wrong.model_copy(update={"did_you_mean": home}) if home else wrong


def _paths(model: type[BaseModel]) -> Iterable[str]:
    """Dotted names of the fields one level down, for example resources.chips."""
    for outer, info in model.model_fields.items():
        for candidate in (info.annotation, *getattr(info.annotation, "__args__", ())):
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                yield from (f"{outer}.{name}" for name in candidate.model_fields)


def _placed(wrong: Violation, places: Mapping[str, Place]) -> Violation:
    place = places.get(wrong.pointer)
    if place is None:
        return wrong
    message = f"{wrong.message} (line {place.line}, column {place.column})"
    return wrong.model_copy(update={"message": message, "params": wrong.params | place._asdict()})


def _described(found: Sequence[Violation], model: type[BaseModel] | None) -> str | None:
    """The model that says what may stand in the body, where something in it is wrong."""
    if model is not None and any(one.pointer.startswith("/") or not one.pointer for one in found):
        return model.__name__
    return None
