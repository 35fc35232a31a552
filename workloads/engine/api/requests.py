"""What a client may ask for: documents checked and typed. Knows no tokenizer and no engine.

A parameter of OpenAI's API that this engine lacks is accepted where leaving it out changes no
result, accepted at its neutral value, and refused otherwise.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Final, Literal, NoReturn, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from penstock.documents import DocumentError, Limits, parse_document
from penstock.documents.sentences import sentence
from penstock.documents.violations import nearest
from penstock.json_types import Json
from workloads.engine.api.errors import bad_request

LIMITS: Final = Limits(8 * 2**20, 200_000, 100_000, any_value=True)
HARMLESS: Final = frozenset(
    "user metadata store service_tier safety_identifier prompt_cache_key "
    "prompt_cache_retention parallel_tool_calls".split()
)
NEUTRAL: Final[Mapping[str, tuple[object, ...]]] = {
    "n": (1,),
    "best_of": (1,),
    "echo": (False,),
    "suffix": ("",),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "repetition_penalty": (1,),
    "min_p": (0,),
    "logit_bias": ({},),
    "tools": ([],),
    "functions": ([],),
    "tool_choice": ("none", "auto"),
    "function_call": ("none", "auto"),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "audio": (),
    "prediction": (),
    "reasoning_effort": (),
    "verbosity": (),
    "web_search_options": (),
}


def _one_or_many(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _text_of(value: object) -> object:
    """A message's content as one string; lists of parts may hold text and refusals only."""
    if not isinstance(value, list):
        return value
    texts = []
    for part in value:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in ("text", "refusal"):
            raise ValueError("only parts of type `text` are supported")
        text = part.get(kind)
        if not isinstance(text, str):
            raise ValueError(f"a part's `{kind}` must be a string")
        texts.append(text)
    return "".join(texts)


def _arguments(value: object) -> object:
    """A call's arguments as templates want them: what the JSON in a string says."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _single_prompt(value: object) -> object:
    """A string or a list of token ids; OpenAI's lists of prompts may hold one."""
    if isinstance(value, list) and value and isinstance(value[0], str | list):
        if len(value) > 1:
            raise ValueError("one prompt per request: send several requests instead")
        value = value[0]
    if isinstance(value, str) or _is_tokens(value):
        return value
    raise ValueError("must be a string or a list of token ids")


def _is_tokens(value: object) -> bool:
    return isinstance(value, list) and all(type(item) is int for item in value)


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class _Said(BaseModel):
    """What a server or a client of OpenAI's API may have written: more than is read here."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, allow_inf_nan=False)


class CalledFunction(_Said):
    name: str
    arguments: Annotated[JsonValue, BeforeValidator(_arguments)] = None


class ToolCall(_Said):
    id: str | None = None
    type: Literal["function"] = "function"
    function: CalledFunction


class Message(_Said):
    """One turn of a conversation. An assistant that called tools, or refused, may say nothing."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Annotated[str | None, BeforeValidator(_text_of), Field(validate_default=True)] = None
    name: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None

    @field_validator("content")
    @classmethod
    def _says_something(cls, content: str | None, info: ValidationInfo) -> str | None:
        if content is None and info.data.get("role") != "assistant":
            raise ValueError("must be a string")
        return content

    def for_template(self) -> Json:
        """The fields that templates know, without those that say nothing."""
        text = self.content if self.content is not None else self.refusal or ""
        given = self.model_dump(exclude_none=True, exclude={"refusal", "content"})
        return {key: it for key, it in given.items() if it != []} | {"content": text}


class StreamOptions(_Document):
    include_usage: bool = False
    include_obfuscation: bool = False


class SharedRequest(_Document, ABC):
    """What both kinds of request have in common; null means: the default."""

    model: str
    max_tokens: int | None = Field(default=None, ge=1)
    temperature: float = Field(default=1.0, ge=0, le=2)
    top_p: float = Field(default=1.0, ge=0, le=1)
    top_k: int = Field(default=0, ge=-1)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    stop: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=1024)]], BeforeValidator(_one_or_many)
    ] = Field(default_factory=list, max_length=16)
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    ignore_eos: bool = False

    @property
    @abstractmethod
    def num_logprobs(self) -> int | None:
        """How many alternatives to score per token; None: score nothing."""

    @property
    def wanted_tokens(self) -> int | None:
        """What was asked for."""
        return self.max_tokens

    @property
    def default_tokens(self) -> int | None:
        """At most so many where nothing was; None: what there is room for."""
        return None


class CompletionRequest(SharedRequest):
    """POST /v1/completions."""

    prompt: Annotated[str | list[int], BeforeValidator(_single_prompt)]
    logprobs: int | None = Field(default=None, ge=0, le=20)

    @property
    def num_logprobs(self) -> int | None:
        return self.logprobs

    @property
    def default_tokens(self) -> int | None:
        """OpenAI's."""
        return 16


class ChatRequest(SharedRequest):
    """POST /v1/chat/completions. Without a limit it may fill the context."""

    messages: list[Message] = Field(min_length=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    logprobs: bool = False
    top_logprobs: int = Field(default=0, ge=0, le=20)

    @property
    def num_logprobs(self) -> int | None:
        return self.top_logprobs if self.logprobs else None

    @property
    def wanted_tokens(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens


RequestT = TypeVar("RequestT", bound=SharedRequest)


def parse_request(body: bytes, kind: type[RequestT]) -> RequestT:
    """The request in `body`; raises ApiError that names the parameter at fault."""
    try:
        document = parse_document(body, syntax="json", limits=LIMITS).value
    except DocumentError as error:
        message = f"The body is not a JSON object that is read here: it {error.message}"
        raise bad_request(message, None, "invalid_json") from error
    given = {name: value for name, value in document.items() if value is not None}
    known = {name: value for name, value in given.items() if not _passed_over(name, value)}
    try:
        return kind.model_validate(known)
    except ValidationError as error:
        _refuse(error, kind)


def _passed_over(name: str, value: object) -> bool:
    """Whether the parameter changes nothing; raises ApiError where it would."""
    if name in HARMLESS:
        return True
    if name not in NEUTRAL:
        return False
    neutral = NEUTRAL[name]
    if value not in neutral:
        allowed = " or ".join(f"`{json.dumps(item)}`" for item in neutral) or "leaving it out"
        raise bad_request(
            f"`{name}` is not supported by this engine beyond {allowed}.",
            name,
            "unsupported_parameter",
        )
    return True


def _refuse(error: ValidationError, kind: type[BaseModel]) -> NoReturn:
    """Answers with the first violation, where it is and, for unknown names, the nearest one."""
    problem = error.errors(include_url=False)[0]
    where = [str(part) for part in problem["loc"] if str(part) not in ("str", "list[int]")]
    param = ".".join(where) or None
    if problem["type"] == "extra_forbidden":
        near = nearest(where[-1], kind.model_fields) if where else None
        hint = f" Did you mean `{near}`?" if near else ""
        raise bad_request(f"Unknown parameter: `{param}`.{hint}", param, "unknown_parameter")
    if problem["type"] == "missing":
        raise bad_request(f"Missing required parameter: `{param}`.", param, "missing_parameter")
    raise bad_request(f"Invalid `{param}`: {sentence(problem)}.", param)
