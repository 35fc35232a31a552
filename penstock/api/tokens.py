"""API tokens, projects and who is asking."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from penstock.api.base import Strict, View
from penstock.api.ids import URL_PATTERN, ProjectId, TokenId
from penstock.api.quantities import DurationS, JoinTimeS
from penstock.api.specs import Name, NewName
from penstock.api.states import Role


class TokenRequest(Strict):
    name: NewName
    role: Role = Role.MEMBER
    project: Name | None = Field(default=None, description="needed unless the role is admin")
    expires_in: DurationS | None = None


class Token(View):
    id: TokenId
    name: str
    role: Role
    project: str | None
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None


class NewToken(Token):
    """A token with its secret, which is shown this once."""

    secret: str


class JoinTokenRequest(Strict):
    expires_in: JoinTimeS = 900.0
    node_name: NewName | None = Field(default=None, description="the one node it may enrol")
    server: str | None = Field(
        default=None,
        max_length=2048,
        pattern=URL_PATTERN,
        description="address by which you reach this server, for the command; default: as the "
        "request came",
    )


class ProjectRequest(Strict):
    name: NewName


class Project(View):
    id: ProjectId
    name: str
    created_at: datetime


class Identity(View):
    """Who the caller is."""

    name: str
    role: Role
    project: str | None
