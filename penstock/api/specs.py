"""The job spec: the one short document that a user submits."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from penstock.api.base import Many, Strict
from penstock.api.ids import NAME_LIKE_ID, NAME_PATTERN, noun_of
from penstock.api.quantities import COUNT_SCHEMA, DurationS, GraceS, MemoryBytes, parse_count
from penstock.api.states import JobType


def _no_id(name: str) -> str:
    if noun_of(name) is not None:
        raise ValueError(NAME_LIKE_ID)
    return name


Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=63)]
"""Of what there is. Jobs of before may have names that look like ids; their specs stay readable."""
NewName = Annotated[Name, AfterValidator(_no_id)]
DType = Literal["fp64", "fp32", "tf32", "bf16", "fp16", "fp8", "int8", "int4"]
Label = Annotated[str, Field(max_length=256)]
EnvName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
MAX_CHIPS = 100_000
_WISH_SCHEMA = {
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]
}


class ChipCount(Strict):
    """How many chips: a number, or a range for elastic jobs."""

    least: int = Field(ge=0, le=MAX_CHIPS)
    most: int = Field(ge=0, le=MAX_CHIPS)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.least > self.most:
            raise ValueError(f"the range is empty: {self.least} is more than {self.most}")
        return self


def _count_document(value: object) -> object:
    pair = parse_count(value)
    return {"least": pair[0], "most": pair[1]} if isinstance(pair, tuple) else pair


class Resources(Strict):
    """What each job asks for. `chips` counts the whole job for train and one replica otherwise;
    where nothing is said it is 1 for train and serve and where a chip is described, else 0.
    """

    chips: Annotated[
        ChipCount, BeforeValidator(_count_document), WithJsonSchema(COUNT_SCHEMA, mode="validation")
    ] = ChipCount(least=0, most=0)
    chip: Annotated[tuple[str, ...], WithJsonSchema(_WISH_SCHEMA, mode="validation")] = Field(
        default=("any",),
        min_length=1,
        description="any, a type, a vendor, or several in order of preference",
    )
    memory: MemoryBytes | None = Field(default=None, description="at least this much per chip")
    dtype: DType | None = Field(default=None, description="a number format the chip must have")
    share: float | None = Field(
        default=None, gt=0, le=1, description="fraction of one chip, in thousandths"
    )
    mix: bool = Field(default=False, description="the job may span chip types")
    cores: float | None = Field(
        default=None, gt=0, le=4096, description="host cores per replica; default: the chips' share"
    )
    host_memory: MemoryBytes | None = Field(
        default=None, description="host memory per replica; default: the chips' share"
    )

    @field_validator("chip", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        if not isinstance(value, str | list | tuple):
            raise ValueError("must be a chip such as emulated-a100, or a list of them")
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="before")
    @classmethod
    def _a_wish_means_a_chip(cls, value: object) -> object:
        """Who names a chip, its memory, its number format or a share of one wants one, without
        saying `1`.
        """
        if not isinstance(value, dict) or "chips" in value:
            return value
        wished = value.get("chip") not in (None, "any", ["any"], ("any",))
        asks = wished or any(value.get(word) is not None for word in ("memory", "dtype", "share"))
        return {**value, "chips": 1} if asks else value

    @model_validator(mode="after")
    def _no_wish_without_chips(self) -> Self:
        if self.chips.most == 0 and self.share is None and self.chip != ("any",):
            raise ValueError("names a chip but asks for 0 of them: leave chips out, or chip")
        return self

    @model_validator(mode="after")
    def _share_needs_one_chip(self) -> Self:
        if self.share is not None and (self.chips.least, self.chips.most) not in ((0, 0), (1, 1)):
            raise ValueError("share asks for a part of one chip: leave chips out or set it to 1")
        return self


class ModelShape(Strict):
    """A Llama-shaped decoder, small by default so that it trains on a laptop."""

    num_layers: int = Field(default=2, ge=1, le=256)
    hidden_size: int = Field(default=128, ge=8, le=65536)
    num_heads: int = Field(default=4, ge=1, le=1024)
    num_kv_heads: int = Field(default=2, ge=1, le=1024)
    intermediate_size: int = Field(default=352, ge=8, le=1048576)
    vocab_size: int = Field(default=1024, ge=260, le=1048576)
    max_seq_len: int = Field(default=128, ge=8, le=1048576)


class ShareStep(Strict):
    """From this step on, how many samples of the global batch each rank takes."""

    from_step: int = Field(ge=0)
    shares: Many[int] = Field(min_length=1, max_length=4096)


class TrainSpec(Strict):
    """A training job of Penstock's own engine: data parallel, one rank per chip."""

    model: ModelShape = ModelShape()
    data: str = Field(
        default="stdlib",
        max_length=4096,
        description="stdlib (the running Python's standard library) or a folder on the node",
    )
    data_limit: MemoryBytes = Field(
        default=2 * 2**20, description="use at most this much text, a fair sample of the files"
    )
    steps: int = Field(default=200, ge=1, le=10**9)
    batch_size: int = Field(default=24, ge=1, le=10**6, description="samples per step, whole job")
    micro_batch: int = Field(default=4, ge=1, le=10**6, description="samples per forward pass")
    learning_rate: float = Field(default=3e-3, gt=0, le=10)
    seed: int = Field(default=0, ge=0, lt=2**31)
    checkpoint_every: int = Field(default=50, ge=1, le=10**9)
    shares: Literal["measured", "equal"] | Many[ShareStep] = Field(
        default="measured", description="batch shares: by measured speed, equal, or as recorded"
    )
    resume_from: str | None = Field(
        default=None, max_length=256, description="job or checkpoint to start from"
    )


class ServeSpec(Strict):
    """An endpoint of replicas behind one OpenAI-compatible address."""

    model: str = Field(
        max_length=4096, description="job:NAME, checkpoint:ID, or a Hugging Face folder on the node"
    )
    endpoint: Name | None = Field(default=None, description="default: the job's name")
    replicas: int = Field(default=1, ge=1, le=1000)
    command: Many[str] | None = Field(
        default=None, description="another engine; it must listen on $PENSTOCK_PORT"
    )
    ready_within: DurationS = Field(
        default=900.0,
        description="a replica that has not answered GET /health with 200 so long after its "
        "start is ended, as a failed start",
    )


class TaskSpec(Strict):
    """Any command, run with rank, world size, master address and chip visibility set."""

    command: Many[Annotated[str, Field(max_length=131072)]] = Field(min_length=1, max_length=4096)
    replicas: int = Field(default=1, ge=1, le=10_000, description="ranks, placed all or none")
    workdir: str | None = Field(
        default=None,
        max_length=4096,
        pattern=r"^/",
        description="where it starts, on its node; default: an empty folder of the replica's own",
    )


class RetrySpec(Strict):
    """How often the job's own failures are tried again; infrastructure has its own budget."""

    limit: int = Field(default=0, ge=0, le=100)


class NotifySpec(Strict):
    """Where the end of the job is announced."""

    webhook: str = Field(max_length=2048, pattern=r"^https?://")


class JobSpec(Strict):
    """What a user submits. Exactly one of `train`, `serve`, `task` goes with `type`."""

    type: JobType
    name: Name | None = Field(default=None, description="unique per project among live jobs")
    project: Name | None = Field(default=None, description="default: the token's project")
    queue: Name = "default"
    priority: int = Field(default=50, ge=0, le=100)
    resources: Resources = Resources()
    train: TrainSpec | None = None
    serve: ServeSpec | None = None
    task: TaskSpec | None = None
    max_duration: DurationS | None = Field(
        default=None, description="stopped after this long, at least 1 s"
    )
    disconnect_grace: GraceS = Field(
        default=300.0,
        description="how long a replica may run on while its node cannot reach the control plane",
    )
    retry: RetrySpec = RetrySpec()
    env: dict[EnvName, Annotated[str, Field(max_length=32768)]] = Field(
        default_factory=dict, max_length=1000
    )
    labels: dict[Label, Label] = Field(default_factory=dict, max_length=64)
    notify: NotifySpec | None = None

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_type(cls, value: object) -> object:
        """`type: train` alone means a training job with every default. Training and serving take
        a chip where nothing is said; who says 0 means it.
        """
        if not isinstance(value, dict) or value.get("type") not in ("train", "serve"):
            return value
        if value["type"] == "train" and not value.keys() & set(JobType):
            value = {**value, "train": {}}
        resources = value.get("resources", {})
        if not isinstance(resources, dict) or "chips" in resources:
            return value
        return {**value, "resources": {**resources, "chips": 1}}

    @model_validator(mode="after")
    def _one_section(self) -> Self:
        given = [kind for kind in JobType if getattr(self, kind.value) is not None]
        if given != [self.type]:
            found = ", ".join(given) or "none"
            raise ValueError(
                f"a job of type {self.type} needs the section `{self.type}` and no other: "
                f"found {found}"
            )
        return self

    @model_validator(mode="after")
    def _elastic_and_mixed_where_it_means_something(self) -> Self:
        chips = self.resources.chips
        if self.type is not JobType.TRAIN and chips.least != chips.most:
            raise ValueError("a range of chips is for training jobs: give one number per replica")
        if self.resources.mix and self.task is not None and self.task.replicas == 1:
            raise ValueError(
                "mix spreads replicas over chip types: a task of one has nothing to mix"
            )
        return self
