"""Which addresses lie in a job's own folder."""

from __future__ import annotations

import pytest

from control_plane.domain.places import is_below, job_folder
from penstock.api.ids import JobId

FOLDER = job_folder("file:///srv/penstock", JobId("job_1"))


@pytest.mark.parametrize("rest", ["/checkpoints/step-00000001-e1", "/a", "/a/b_c/d=1.bin", "/_x"])
def test_plain_names_below_the_folder_are_below_it(rest: str) -> None:
    assert is_below(FOLDER + rest, FOLDER)


@pytest.mark.parametrize(
    "uri",
    [
        "file:///etc", "file:///etc/passwd", "/srv/penstock/jobs/job_1/a", "s3://bucket/a", "",
        "file:///srv/penstock", "file:///srv/penstock/jobs/job_2/a", FOLDER, f"{FOLDER}/",
        "FILE:///srv/penstock/jobs/job_1/a", "file:/srv/penstock/jobs/job_1/a",
        "file://localhost/srv/penstock/jobs/job_1/a", "local:///srv/penstock/jobs/job_1/a",
        "file:///srv/penstock/jobs/job_10/a", f"{FOLDER}x/a", f" {FOLDER}/a",
    ],
)  # fmt: skip
def test_another_place_or_another_spelling_of_it_is_not(uri: str) -> None:
    assert not is_below(uri, FOLDER)


@pytest.mark.parametrize(
    "rest",
    [
        "/..", "/../job_2/a", "/a/../../job_2", "/./a", "//a", "/a//b", "/a/", "/.hidden",
        "/%2e%2e/job_2", "/a%2f..%2fb", "/a::file:///etc", "/a?b", "/a#b", "/a\\..\\b", "/a\0",
        "/a\n", "/\uff0e\uff0e/a", "/~/a", "/a b", "/*", "/-rf",
    ],
)  # fmt: skip
def test_no_way_leads_out_of_it(rest: str) -> None:
    assert not is_below(FOLDER + rest, FOLDER)


@pytest.mark.parametrize("folder", ["s3://bucket/~", "file:///srv/job.", "file:///srv/my job/-"])
def test_only_what_comes_after_the_folder_has_to_be_plain(folder: str) -> None:
    assert is_below(f"{folder}/a", folder)
