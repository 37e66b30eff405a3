"""Let peers in by password, or no more, and list who may come.

Place     assembly.py registers them -> NodeServices
Spec      docs/protocol/08 §6.2
"""

from __future__ import annotations

from dexmesh.admin.functions.forms import OK, read_address
from dexmesh.admin.paging import newest_first, page_of
from dexmesh.admin.registry import Arguments, Caller, Function, Kind, optional, required
from dexmesh.admin.services import NodeServices
from dexmesh.admin.values import Answer
from dexmesh.errors import AdminError

USERS_PER_PAGE = 16  # 08 §5


def password_functions(node: NodeServices) -> list[Function]:
    """The `AuthorizedPasswords_` functions."""

    def add(arguments: Arguments, _caller: Caller) -> Answer:
        only = arguments.text("ipv6")
        address = None if only is None else read_address(only, "Invalid IPv6 Address")
        node.add_password(arguments.required_octets("password"), arguments.text("user"), address)
        return OK

    def remove(arguments: Arguments, _caller: Caller) -> Answer:
        if not node.remove_user(arguments.required_text("user")):
            raise AdminError("Unknown error.")
        return OK

    def users(arguments: Arguments, _caller: Caller) -> Answer:
        logins = node.users()
        shown, _ = page_of(logins, arguments.number("page"), USERS_PER_PAGE)
        return {"total": len(logins), "users": newest_first(shown)}

    return [
        Function(
            "AuthorizedPasswords_add",
            add,
            (required("password"), optional("user"), optional("ipv6")),
        ),
        Function("AuthorizedPasswords_remove", remove, (required("user"),)),
        Function("AuthorizedPasswords_list", users, (optional("page", Kind.INT),)),
    ]
