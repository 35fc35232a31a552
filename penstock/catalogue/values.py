"""What is wrong with one value or document: each text goes on after the name of the place. Codes of
wrong types are pydantic's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_A_TIME: Final = "must be a time such as 2026-01-31T12:00:00Z"
_A_WHOLE_NUMBER: Final = "must be a whole number"
_REF: Final = "lower-case letters, digits, dots, dashes and underscores"
_DOCUMENT: Final = "[{subject} ]"
_PLACE: Final = "[ (line {line}, column {column})]"

VALUES: Final[Mapping[str, str]] = {
    "missing": "is needed",
    "field_missing": "the field `{field}` is needed",
    "extra_forbidden": "unknown field[ `{field}`]",
    "unknown_parameter": "unknown query parameter `{name}`",
    "given_twice": "is given more than once",
    "has_null": "has the character U+0000",
    "either": "{first}, or {second}",
    "not_a_value": "is not a value that may stand here",
    "invalid_key": "must have text as its keys",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "dict_type": "must be a mapping",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "path_type": "must be a path",
    "string_type": "must be text (put quotes around it)",
    "string_unicode": "must be text in UTF-8",
    "string_too_short": "must have at least {min_length} {min_length:character|characters}",
    "string_too_long": "must have at most {max_length} {max_length:character|characters}",
    "too_short": "must have at least {min_length} {min_length:item|items}",
    "too_long": "must have at most {max_length} {max_length:item|items}",
    "int_type": _A_WHOLE_NUMBER,
    "int_parsing": _A_WHOLE_NUMBER,
    "int_parsing_size": "must be a whole number of fewer digits",
    "int_from_float": _A_WHOLE_NUMBER,
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "between": "must be between {least} and {most}",
    "datetime_type": _A_TIME,
    "datetime_parsing": _A_TIME,
    "datetime_object_invalid": _A_TIME,
    "datetime_from_date_parsing": _A_TIME,
    "one_of": "must be {words:or}",
    "string_pattern_mismatch": "must look like {pattern}",
    "name_pattern": f"must be a name of {_REF}, with a letter or digit at both ends, "
    "at most 63 long",
    "word_pattern": f"must be a name of {_REF}, beginning with a letter or digit",
    "variable_pattern": "must be the name of a variable: letters, digits and underscores, "
    "not beginning with a digit",
    "url_pattern": "must be an address such as https://penstock.example:8470",
    "code_pattern": "must be a code: lower-case letters, digits and underscores, "
    "beginning with a letter",
    "absolute_pattern": "must be an absolute path, beginning with /",
    "http_pattern": "must begin with http:// or https://",
    "sha256_pattern": "must be a SHA-256: 64 hexadecimal digits in lower case",
    "ascii_pattern": "must be printable ASCII without spaces",
    "no_such_queue": "there is no queue `{name}`",
    "no_such_chip": "unknown chip `{name}`",
    "no_such_vendor": "unknown vendor `{name}`",
    "like_an_id": "`{name}` looks like an id: choose another name",
    "role_for_all": "an administrator's token is for all projects: leave the project out",
    "role_needs_project": "a token with the role {role} needs a project",
    "key_value": "must be KEY=VALUE",
    "no_checkpoint_yet": "{ref} has no intact checkpoint yet",
    "no_checkpoint_of": "{ref} is {missing}[: it is the id of a {other}]",
    "not_public": "must be on the public internet, which `{host}` is not: the server may let "
    "webhooks reach private addresses (PENSTOCK_SERVER_WEBHOOK_ALLOW_PRIVATE)",
    "not_trained_on": "training does not run on {chips:or} yet: it runs on the host's processor, "
    "and on emulated chips",
    "nothing_left": "must be more than {step}, the step of the checkpoint to start from: training "
    "counts from its first step",
    "not_below": "is not a place below the job's own folder {folder}",
    "not_supported": "not supported",
    "not_allowed_here": "method not allowed here",
    "unknown_path": "unknown path",
    "not_ours": "is not one of ours",
    "of_another_list": "belongs to another list, or to other filters or another order",
}

NAME_THEIR_PLACE: Final = frozenset(
    {
        "extra_forbidden", "unknown_parameter", "no_such_queue", "no_such_chip", "no_such_vendor",
        "like_an_id", "role_for_all", "role_needs_project", "no_checkpoint_yet",
        "no_checkpoint_of", "not_trained_on",
    }
)  # fmt: skip
"""Those of which the sentence says what it is about."""

DOCUMENTS: Final[Mapping[str, str]] = {
    code: f"{_DOCUMENT}{text}{_PLACE}"
    for code, text in {
        "document_too_large": "is {num_bytes} bytes long; at most {most} are read",
        "empty_document": "is empty; a mapping is needed",
        "not_utf8": "is not UTF-8 text",
        "not_a_mapping": "must be a mapping at the top, not {found}",
        "too_deep": "is nested deeper than {most} levels",
        "too_many_values": "has more than {most} values[ {where}]",
        "too_many_aliases": "has more than {most} values once its aliases are expanded",
        "key_too_long": "has a key of more than {most} characters",
        "duplicate_key": "has the key `{key}` more than once[ (first on line {first})]",
        "number_too_large": "has a number out of range: {number}",
        "broken_json": "is not JSON: {what}",
        "broken_yaml": "is not YAML: {what}",
        "tag_refused": "has the tag `{tag}`; tags are not allowed",
        "number_out_of_range": "is a number out of range",
        "unsafe_character": "has the character {character}, which text may not have",
    }.items()
}
