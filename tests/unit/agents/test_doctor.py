"""What the doctor says of what was found."""

from __future__ import annotations

from agents import doctor
from agents.doctor import Finding
from agents.node.chips.base import Dropped, ProbeResult
from agents.node.hardware.host import Capacity
from agents.node.hardware.pci import PciDevice, Presence
from agents.runtimes.process.isolation import Isolation
from agents.runtimes.process.users import Users
from penstock.api.chips import ChipReport, Rate
from penstock.api.states import ChipHealth
from penstock.api.vendors import Vendor

ROW = Vendor(
    title="Acme (AX)",
    device_nodes=("acme[0-9]*",),
    libraries=("libacme-none.so",),
    tools=("acme-smi-none",),
)
ON_BUS = (PciDevice("0000:01:00.0", "abcd", "12"),)


def chip(**facts: object) -> ChipReport:
    known = {"key": "k0", "vendor": "acme", "type": "acme-1", "index": 0}
    return ChipReport.model_validate({**known, **facts})


def chips_findings(*chips: ChipReport) -> list[Finding]:
    return doctor.chips_found(ProbeResult(chips), {"acme": ROW})


def test_a_host_without_chips_is_an_error() -> None:
    assert [it.level for it in chips_findings()] == ["error"]


def test_chips_are_counted_by_type_and_unverified_vendors_said() -> None:
    found, note = chips_findings(chip(), chip(key="k1", index=1))
    assert (found.level, found.what, found.where) == ("ok", "2 × acme-1", "acme")
    assert note.level == "info"
    assert "have not run on this vendor's hardware" in note.what


def test_emulated_chips_are_called_emulated() -> None:
    (found,) = chips_findings(chip(emulated=True, stands_for="other-9"))
    assert "emulated: processes on declared limits, standing for other-9" in found.what


def test_measured_rates_are_shown_with_units() -> None:
    rate = Rate(value=2.5e10, unit="B/s", origin="conformance")
    assert "measured: memory 2.5e+10 B/s" in chips_findings(chip(rates={"memory": rate}))[0].what


def test_a_sick_chip_is_a_warning_with_its_reason() -> None:
    sick = chip(health=ChipHealth.UNHEALTHY, health_message="3 memory errors")
    warnings = [it for it in chips_findings(sick) if it.level == "warning"]
    assert [(it.what, it.where) for it in warnings] == [("3 memory errors", "k0")]


def test_a_device_on_the_bus_without_driver_gives_every_missing_piece_and_what_to_do() -> None:
    found = doctor.obstacles("acme", ROW, Presence(ON_BUS, (), True), has_provider=False)
    assert [it.level for it in found] == ["warning", "error", "error", "info"]
    assert "Acme (AX)" in found[0].what
    assert "/dev/acme[0-9]*" in found[1].what
    assert "libacme-none.so" in found[2].what
    assert "acme-smi-none" in found[3].what
    assert all(it.advice for it in found)


def test_a_vendor_that_is_not_on_the_bus_is_not_spoken_of() -> None:
    assert doctor.obstacles("acme", ROW, Presence((), (), True), has_provider=False) == []


def test_findings_read_as_lines_with_advice_below() -> None:
    text = doctor.render(
        [Finding("ok", "2 × acme-1", "acme"), Finding("error", "no driver", "acme", "install it")]
    )
    assert text == "ok    acme: 2 × acme-1\nFAIL  acme: no driver\n      → install it"


def test_emulated_chips_beyond_the_host_are_a_warning_and_real_ones_are_not() -> None:
    fake = chip(emulated=True, stands_for="x-1", cores_milli=1500, memory_bytes=2**30)
    (found,) = doctor.overcommitted([fake, fake], Capacity(2000, 2**30))
    assert found.what == "the emulated chips declare 3 cores of 2 and 2.0 GiB of 1.0 GiB"
    assert doctor.overcommitted([fake], Capacity(2000, None)) == []
    assert doctor.overcommitted([chip(cores_milli=9000)], Capacity(2000, 1)) == []


def test_drops_are_warnings() -> None:
    (found,) = doctor.drops(ProbeResult((), (Dropped("acme", "GPU 1", "no identity"),)))
    assert (found.level, found.what, found.where) == (
        "warning",
        "left out: no identity",
        "acme GPU 1",
    )


def test_a_node_without_namespaces_is_told_which_promise_it_loses() -> None:
    found, _ = doctor.separation(Isolation("operation not permitted"), cgroups=False)
    assert found.level == "warning"
    assert "operation not permitted" in found.what
    assert "may outlive it unseen" in found.what
    assert "CAP_SYS_ADMIN" in found.advice


def test_a_node_with_namespaces_has_nothing_to_be_told() -> None:
    for found in doctor.separation(Isolation("", Users("", 2000)), cgroups=True):
        assert (found.level, found.advice) == ("ok", "")


def test_a_node_without_users_is_told_apart_why_and_which_promise_it_loses() -> None:
    lack = "other users may not pass /srv/x (mode 0700)"
    processes, found = doctor.separation(Isolation("", Users(lack)), cgroups=True)
    assert (processes.level, found.level) == ("ok", "warning")
    assert lack in found.what
    assert "can read what the agent" in found.what
    assert "remove the cause" in found.advice
