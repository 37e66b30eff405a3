"""The beacon functions beyond what the vectors show (tests/vectors/test_admin_vectors.py)."""

from __future__ import annotations

import pytest

from dexmesh.admin.assembly import admin_server
from tests.unit.admin.calling import Caller
from tests.unit.admin.fake import FakeBeacons, FakeNode, udp_interface


def calling(node: FakeNode) -> Caller:
    return Caller(admin_server(node, b"NONE"))


def two_interfaces() -> FakeNode:
    attachments = [udp_interface(0), udp_interface(1, "0.0.0.0:5001")]
    return FakeNode(attachments=attachments, beacons=FakeBeacons({1: 0}))


@pytest.mark.parametrize(
    ("state", "name"), [(0, "disabled"), (1, "accepting"), (2, "sending and accepting")]
)
def test_each_state_has_its_name(state: int, name: str) -> None:
    node = two_interfaces()
    answer = calling(node).call("UDPInterface_beacon", interfaceNumber=1, state=state)
    assert answer == {"error": "none", "state": state, "stateName": name}
    assert node.beacons.states == {1: state}


@pytest.mark.parametrize("state", [-1, 3, 1 << 40])
def test_a_state_that_does_not_exist_is_refused(state: int) -> None:
    node = two_interfaces()
    error = calling(node).error("UDPInterface_beacon", interfaceNumber=1, state=state)
    assert error == "invalid state"
    assert node.beacons.states == {1: 0}


def test_an_interface_without_a_beacon_port_is_refused_where_the_original_ends_itself() -> None:
    error = calling(two_interfaces()).error("UDPInterface_beacon", state=2)
    assert error == "this interface has no beaconPort"


@pytest.mark.parametrize("number", [2, -1, 1 << 40])
@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("UDPInterface_setBroadcastDevices", {"devices": ["all"]}),
        ("UDPInterface_getBroadcastDevices", {}),
        ("UDPInterface_getBroadcastAddrs", {}),
    ],
)
def test_an_interface_that_is_not_there_is_refused(
    function: str, arguments: dict[str, list[str]], number: int
) -> None:
    error = calling(two_interfaces()).error(function, interfaceNumber=number, **arguments)
    assert error == "no such interface for interfaceNumber"


def test_devices_are_kept_in_the_order_they_came() -> None:
    node = two_interfaces()
    caller = calling(node)
    devices = ["eth1", "eth0", "192.0.2.255:64512"]
    caller.call("UDPInterface_setBroadcastDevices", interfaceNumber=1, devices=devices)
    answer = caller.call("UDPInterface_getBroadcastDevices", interfaceNumber=1)
    assert answer == {"devices": devices, "error": "none"}


def test_devices_that_are_no_text_are_refused() -> None:
    node = two_interfaces()
    error = calling(node).error("UDPInterface_setBroadcastDevices", devices=[b"\xff"])
    assert error == "Entry [devices] is not UTF-8 text"
    assert node.beacons.chosen == {}


def test_elements_that_are_no_strings_are_left_out() -> None:
    node = two_interfaces()
    calling(node).call("UDPInterface_setBroadcastDevices", devices=["eth0", 5, ["eth1"]])
    assert node.beacons.chosen == {0: ["eth0"]}


@pytest.mark.parametrize("port", [-1, 65536, 1 << 40])
def test_a_beacon_port_that_is_none_is_refused(port: int) -> None:
    node = two_interfaces()
    assert calling(node).error("UDPInterface_new", beaconPort=port) == "invalid beaconPort"
    assert len(node.attachments) == 2


def test_an_interface_is_made_with_the_beacon_port_it_is_given() -> None:
    node = two_interfaces()
    calling(node).call("UDPInterface_new", bindAddress="0.0.0.0:5002", beaconPort=64512)
    assert node.calls == [("add_udp_interface", "0.0.0.0:5002", 0, 64512)]
