"""The route table: every route has one policy, one name and one place."""

from __future__ import annotations

import pytest
from fastapi import APIRouter

from control_plane.api.app import api_routes
from control_plane.api.deps import version_of
from control_plane.api.failures import Malformed
from control_plane.api.route import Route, policy_of


def test_a_route_without_a_policy_cannot_be_built() -> None:
    router = APIRouter(route_class=Route)
    with pytest.raises(TypeError, match="exactly one caller"):

        @router.get("/open")
        def unguarded() -> None:
            """Serves anybody by mistake."""


def test_operation_ids_are_there_and_unique() -> None:
    names = [route.operation_id for route in api_routes()]
    assert all(names)
    assert len(set(names)) == len(names)


def test_reading_never_needs_more_than_a_role_and_never_takes_a_body() -> None:
    for route in api_routes():
        if "GET" in (route.methods or ()):
            assert policy_of(route).body_model is None, route.path


def test_repeatable_parameters_are_known() -> None:
    (listing,) = [route for route in api_routes() if route.operation_id == "list_jobs"]
    assert policy_of(listing).repeatable == {"state", "label"}


@pytest.mark.parametrize(
    "etag,version",
    [('W/"7-abc"', "7"), ('"7"', "7"), ("7", "7"), ("*", "*"), (None, None), ('""', "")],
)
def test_the_version_stands_first_in_an_etag(etag: str | None, version: str | None) -> None:
    assert version_of(etag) == version


def test_one_etag_at_a_time() -> None:
    with pytest.raises(Malformed):
        version_of('"1", "2"')
