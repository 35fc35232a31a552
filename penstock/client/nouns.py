"""Everything the API offers, as methods per noun: what each call sends, and what answers it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from penstock.client import routes
from penstock.client.calls import ModeT, Noun, blocks, ended, many, one, stream, text
from penstock.client.requests import Polled, Request

if TYPE_CHECKING:
    from pydantic import BaseModel

    from penstock.client import models as m
    from penstock.client.async_http import AsyncHttp
    from penstock.client.http import Http

Body = Mapping[str, object]


class Jobs(Noun[ModeT]):
    """Jobs, by id or name."""

    @one
    def submit(
        self, spec: m.JobSpec | Body, *, idempotency_key: str | None = None
    ) -> Request[m.Job]:
        """Hands in a job. Without a key one is made, so that a lost answer is asked for again."""
        return routes.submit_job(_body(spec), idempotency_key)

    @many
    def list(self, /, **filters: object) -> Request[m.Job]:
        """Jobs by `state`, `type`, `queue`, `project`, `label`, `chip_vendor`; `sort`, `limit`.

        `limit` is the size of a page; all pages are walked.
        """
        return routes.read("jobs", params=filters)

    @one
    def get(self, ref: str) -> Request[m.Job]:
        return routes.read("jobs", ref)

    @one
    def cancel(self, ref: str, *, because: str | None = None) -> Request[m.Job]:
        """Ends a job; `because` goes into its message."""
        return routes.cancel_job(ref, because)

    @one
    def retry(self, ref: str, *, idempotency_key: str | None = None) -> Request[m.Job]:
        """A new job like this one, linked by `retry_of`."""
        return routes.retry_job(ref, idempotency_key)

    @one
    def explain(self, ref: str) -> Request[m.Explanation]:
        """Where a job stands, what stands against it, and what would help."""
        return routes.read("jobs", ref, "explain")

    @many
    def replicas(self, ref: str) -> Request[m.Replica]:
        return routes.read("jobs", ref, "replicas")

    @many
    def checkpoints(self, ref: str) -> Request[m.Checkpoint]:
        return routes.read("jobs", ref, "checkpoints")

    @many
    def events(self, ref: str) -> Request[m.Event]:
        """What has happened to the job so far."""
        return routes.read("jobs", ref, "events")

    @stream
    def follow_events(self, ref: str, last_id: str | None = None) -> Request[m.Event]:
        """What happens to the job, until it has ended."""
        return routes.stream("jobs", ref, "events", last_id=last_id)

    @text
    def log_text(self, ref: str, /, **part: int | None) -> Request[str]:
        """Output so far as text, all of it in memory; `part` is as for `download_logs`."""
        return routes.job_log_text(ref, **part)

    @blocks
    def download_logs(self, ref: str, /, **part: int | None) -> Request[bytes]:
        """Output so far in blocks, byte by byte as one replica wrote it; with several, each line
        is behind the rank. What an ended job's nodes still send is waited for.

        `part` may be `tail` or `head` (lines of each replica), `offset` (bytes), `rank`, `attempt`.
        """
        return routes.job_log_text(ref, **part)

    @stream
    def follow_logs(
        self, /, ref: str, *, last_id: str | None = None, **part: int | None
    ) -> Request[m.LogLine]:
        """Output from the start (or after `last_id`) until the job has ended.

        `part` may be `tail` (lines of each replica), `offset` (bytes), `rank`, `attempt`.
        """
        return routes.stream("jobs", ref, "logs", params=part, last_id=last_id)

    @ended
    def wait(
        self, ref: str, timeout_s: float | None = None, *, poll_s: float = 0.2
    ) -> Request[m.Job]:
        """The job once it has ended. Raises WaitTimeout."""
        asked = routes.read("jobs", ref)
        return Polled(asked.method, asked.path, timeout_s=timeout_s, poll_s=poll_s)


class Nodes(Noun[ModeT]):
    """Nodes, by id or name."""

    @many
    def list(self, /, **filters: object) -> Request[m.Node]:
        return routes.read("nodes", params=filters)

    @one
    def get(self, ref: str) -> Request[m.Node]:
        return routes.read("nodes", ref)

    @one
    def cordon(self, ref: str) -> Request[m.Node]:
        """No new placements; what runs goes on."""
        return routes.act("nodes", ref, "cordon")

    @one
    def uncordon(self, ref: str) -> Request[m.Node]:
        return routes.act("nodes", ref, "uncordon")

    @one
    def drain(self, ref: str) -> Request[m.Node]:
        """No new placements, and what runs is moved away."""
        return routes.act("nodes", ref, "drain")

    @one
    def retire(self, ref: str) -> Request[m.Node]:
        """Takes an empty node out for good."""
        return routes.act("nodes", ref, "retire")

    @one
    def join_token(self, request: m.JoinTokenRequest | Body | None = None) -> Request[m.JoinToken]:
        """A single-use token with which one agent enrols."""
        return routes.create("join-tokens", _body(request or {}))


class Chips(Noun[ModeT]):
    """Chips and the types they are of."""

    @many
    def list(self, /, **filters: object) -> Request[m.Chip]:
        return routes.read("chips", params=filters)

    @one
    def get(self, chip_id: str) -> Request[m.Chip]:
        return routes.read("chips", chip_id)

    @many
    def speeds(self, /, **filters: object) -> Request[m.Speed]:
        """Measured speeds by class of work, each with its origin; of one `chip_type`."""
        return routes.read("speeds", params=filters)

    @many
    def types(self) -> Request[m.ChipType]:
        return routes.read("chip-types")


class Queues(Noun[ModeT]):
    """Queues, by name."""

    @many
    def list(self) -> Request[m.Queue]:
        return routes.read("queues")

    @one
    def get(self, name: str) -> Request[m.Queue]:
        return routes.read("queues", name)

    @one
    def set_limits(
        self, name: str, limits: Mapping[str, int], etag: str | None = None
    ) -> Request[m.Queue]:
        """Makes the queue or changes its limits; with `etag` only if nobody else did since."""
        return routes.put("queues", name, body={"limits": dict(limits)}, etag=etag)


class Endpoints(Noun[ModeT]):
    """Endpoints of serving jobs, by id or name."""

    @many
    def list(self, /, **filters: object) -> Request[m.Endpoint]:
        return routes.read("endpoints", params=filters)

    @one
    def get(self, ref: str) -> Request[m.Endpoint]:
        return routes.read("endpoints", ref)


class Tokens(Noun[ModeT]):
    """API tokens."""

    @one
    def create(self, request: m.TokenRequest | Body) -> Request[m.NewToken]:
        """A new token; its secret is in this answer and nowhere else."""
        return routes.create("tokens", _body(request))

    @many
    def list(self) -> Request[m.Token]:
        return routes.read("tokens")

    @one
    def revoke(self, token_id: str) -> Request[None]:
        return routes.revoke_token(token_id)


class Projects(Noun[ModeT]):
    """Projects, the tenants."""

    @many
    def list(self) -> Request[m.Project]:
        return routes.read("projects")

    @one
    def create(self, name: str) -> Request[m.Project]:
        return routes.create("projects", {"name": name})


class Api(Noun[ModeT]):
    """Everything the API offers.

    All methods raise ApiError when the server refuses and ConnectionFailed when it cannot be
    reached; requests that are safe to repeat were repeated by then.
    """

    def __init__(self, http: Http | AsyncHttp, *, typed: bool = True) -> None:
        super().__init__(http, typed=typed)
        self.jobs: Jobs[ModeT] = Jobs(http, typed=typed)
        self.nodes: Nodes[ModeT] = Nodes(http, typed=typed)
        self.chips: Chips[ModeT] = Chips(http, typed=typed)
        self.queues: Queues[ModeT] = Queues(http, typed=typed)
        self.endpoints: Endpoints[ModeT] = Endpoints(http, typed=typed)
        self.tokens: Tokens[ModeT] = Tokens(http, typed=typed)
        self.projects: Projects[ModeT] = Projects(http, typed=typed)

    @one
    def whoami(self) -> Request[m.Identity]:
        return routes.read("whoami")

    @one
    def plan(self, spec: m.JobSpec | Body) -> Request[m.PlanAnswer]:
        """Whether the job would fit now, and where."""
        return routes.plan(_body(spec))

    @many
    def replicas(self, /, **filters: object) -> Request[m.Replica]:
        return routes.read("replicas", params=filters)

    @many
    def cycles(self) -> Request[m.Cycle]:
        """Records of scheduling cycles, newest first."""
        return routes.read("cycles")

    @many
    def events(self, /, **filters: object) -> Request[m.Event]:
        """Events so far."""
        return routes.read("events", params=filters)

    @stream
    def follow_events(self, last_id: str | None = None) -> Request[m.Event]:
        """Events as they happen, without end."""
        return routes.stream("events", last_id=last_id)

    @stream
    def changes(self, last_id: str | None = None) -> Request[m.Changes]:
        """Which objects change, without end, and how many there are of what. The first message,
        and any other with `reset`, says: list anew.
        """
        return routes.stream("changes", last_id=last_id)

    @one
    def alive(self) -> Request[m.Alive]:
        """Whether the server's process answers, and its version."""
        return routes.probe("/healthz")

    @one
    def ready(self) -> Request[m.Readiness]:
        """Whether the server does its work, part by part. Raises ApiError where it does not."""
        return routes.probe("/readyz")


def _body(document: BaseModel | Body) -> Body:
    """What is sent for a wire type: only what was set, so that the server's defaults hold.

    A mapping goes as it is; the server checks it.
    """
    if isinstance(document, Mapping):
        return document
    return document.model_dump(mode="json", exclude_unset=True)
