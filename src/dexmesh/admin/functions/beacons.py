"""Switch LAN beacons on and off, and say where they go.

Place     assembly.py registers them -> NodeServices.beacons
Spec      docs/protocol/08 §6.3
Keeps     a state that is out of range, or an interface without a beacon port, changes nothing (the
          original ends itself over the latter)
"""

from __future__ import annotations

from dexmesh.admin.functions.forms import OK
from dexmesh.admin.functions.interfaces import find_interface
from dexmesh.admin.registry import Arguments, Caller, Function, Kind, optional, required
from dexmesh.admin.services import NodeServices
from dexmesh.admin.values import NONE, Answer
from dexmesh.engine.messages import InterfaceNumber
from dexmesh.errors import AdminError

STATE_NAMES = ("disabled", "accepting", "sending and accepting")


def beacon_functions(node: NodeServices) -> list[Function]:
    """The `UDPInterface_` functions about beacons."""

    def beacon(arguments: Arguments, _caller: Caller) -> Answer:
        number = arguments.number("interfaceNumber") or 0
        interface = find_interface(node, number, "invalid interfaceNumber").interface
        state = arguments.number("state")
        if state is None or not 0 <= state < len(STATE_NAMES):
            raise AdminError("invalid state")
        node.beacons.set_state(interface, state)
        return {"error": NONE, "state": state, "stateName": STATE_NAMES[state]}

    def set_devices(arguments: Arguments, _caller: Caller) -> Answer:
        interface = _interface(arguments)
        node.beacons.set_devices(interface, arguments.required_texts("devices"))
        return OK

    def devices(arguments: Arguments, _caller: Caller) -> Answer:
        return {"devices": list(node.beacons.devices(_interface(arguments))), "error": NONE}

    def addresses(arguments: Arguments, _caller: Caller) -> Answer:
        return {"addrs": list(node.beacons.addresses(_interface(arguments))), "error": NONE}

    def _interface(arguments: Arguments) -> InterfaceNumber:
        return find_interface(node, arguments.number("interfaceNumber") or 0).interface

    number = optional("interfaceNumber", Kind.INT)
    return [
        Function("UDPInterface_beacon", beacon, (number, optional("state", Kind.INT))),
        Function(
            "UDPInterface_setBroadcastDevices",
            set_devices,
            (required("devices", Kind.LIST), number),
        ),
        Function("UDPInterface_getBroadcastDevices", devices, (number,)),
        Function("UDPInterface_getBroadcastAddrs", addresses, (number,)),
    ]
