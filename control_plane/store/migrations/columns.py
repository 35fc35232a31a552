"""Short words for the columns of migrations. What a released revision uses never changes."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from control_plane.store.models.base import UtcDateTime

ID_LENGTH: Final = 48
WORD_LENGTH: Final = 128
Column = sa.Column[Any]


def key(name: str = "id") -> Column:
    """The primary key: one of our ids."""
    return sa.Column(name, sa.String(ID_LENGTH), primary_key=True, nullable=False)


def counter() -> Column:
    """A primary key that the database counts up."""
    kind = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column("id", kind, primary_key=True, autoincrement=True, nullable=False)


def ref(name: str, *, null: bool = False, index: bool = True) -> Column:
    """The id of another object."""
    return word(name, ID_LENGTH, null=null, index=index)


def word(
    name: str,
    length: int = WORD_LENGTH,
    *,
    null: bool = False,
    unique: bool = False,
    index: bool = False,
) -> Column:
    """Text of bounded length."""
    # None, not False: a column that says anything of an index of its own gets one.
    return sa.Column(
        name, sa.String(length), nullable=null, unique=unique or None, index=index or None
    )


def text(name: str) -> Column:
    """Text of any length."""
    return sa.Column(name, sa.Text(), nullable=False)


def number(name: str, *, null: bool = False) -> Column:
    return sa.Column(name, sa.Integer(), nullable=null)


def big(name: str, *, null: bool = False) -> Column:
    """A whole number that may pass 2³¹, such as bytes."""
    return sa.Column(name, sa.BigInteger(), nullable=null)


def real(name: str) -> Column:
    return sa.Column(name, sa.Double(), nullable=False)


def flag(name: str) -> Column:
    return sa.Column(name, sa.Boolean(), nullable=False)


def moment(name: str, *, null: bool = False, index: bool = False) -> Column:
    """A point in time, in UTC."""
    return sa.Column(name, UtcDateTime(timezone=True), nullable=null, index=index or None)


def document(name: str, *, null: bool = False) -> Column:
    """A JSON value."""
    return sa.Column(name, sa.JSON(), nullable=null)


def stated() -> tuple[Column, ...]:
    """The four fields of every state, and the version that guards them."""
    state = word("state", 32, index=True)
    return number("version"), state, word("reason"), text("message"), moment("since")
