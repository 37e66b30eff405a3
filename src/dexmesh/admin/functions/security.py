"""Say with which rights the node runs.

Place     assembly.py registers them -> NodeServices
Spec      docs/protocol/08 §6.7 (`Security_`); docs/decisions/0004-privileges.md
Not here  giving rights up: the node does that itself, once it is set up
"""

from __future__ import annotations

from dexmesh.admin.functions.forms import OK
from dexmesh.admin.registry import Arguments, Caller, Function, Kind, optional, required
from dexmesh.admin.services import NodeServices
from dexmesh.admin.values import NONE, Answer
from dexmesh.errors import AdminError


def security_functions(node: NodeServices) -> list[Function]:
    """The `Security_` functions that have a true answer."""

    def check_permissions(_arguments: Arguments, _caller: Caller) -> Answer:
        process = node.process()
        return {
            "error": NONE,
            "noOpenFiles": not process.may_open_files,
            "seccompEnforcing": 0,
            "seccompExists": 0,
            "userId": process.user_id,
        }

    def find_user(arguments: Arguments, _caller: Caller) -> Answer:
        account = node.account(arguments.text("user"))
        if account is None:
            raise AdminError("Could not find user [no such user]")
        return {"error": NONE, "name": account.name, "uid": account.uid, "gid": account.gid}

    def set_user(arguments: Arguments, _caller: Caller) -> Answer:
        if arguments.required_number("uid") != node.process().user_id:
            raise AdminError('the node changes its user itself, see "security" in cjdroute.conf')
        return OK

    def setup_complete(_arguments: Arguments, _caller: Caller) -> Answer:
        return OK

    return [
        Function("Security_checkPermissions", check_permissions),
        Function("Security_getUser", find_user, (optional("user"),)),
        Function(
            "Security_setUser",
            set_user,
            (
                required("uid", Kind.INT),
                optional("gid", Kind.INT),
                required("keepNetAdmin", Kind.INT),
            ),
        ),
        Function("Security_setupComplete", setup_complete),
    ]
