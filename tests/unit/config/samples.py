"""Keys and whole configurations for the tests of config/."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from nacl.bindings import crypto_scalarmult_base

from dexmesh.config.reader import LoadedConfig, load_settings
from dexmesh.errors import ConfigError, ConfigProblem
from dexmesh.wire.keys import PublicKey, encode_key, is_node_key


def derive(private_key: bytes) -> bytes:
    return crypto_scalarmult_base(private_key)


def node_key(number: int) -> tuple[bytes, PublicKey]:
    """A key pair that is a valid identity, the same for every run."""
    attempt = 0
    while True:
        private = hashlib.sha256(b"%d.%d" % (number, attempt)).digest()
        public = PublicKey(derive(private))
        if is_node_key(public):
            return private, public
        attempt += 1


PRIVATE, PUBLIC = node_key(1)
_, PEER = node_key(2)
_, EXIT = node_key(3)
PEER_TEXT, EXIT_TEXT = encode_key(PEER), encode_key(EXIT)


def config(**changes: Any) -> dict[str, Any]:
    """A small configuration that is right; a change to None takes the key out."""
    base: dict[str, Any] = {
        "privateKey": PRIVATE.hex(),
        "admin": {"bind": "127.0.0.1:11234", "password": "NONE"},
        "version": 2,
    } | changes
    return {key: value for key, value in base.items() if value is not None}


def udp(*elements: dict[str, Any]) -> dict[str, Any]:
    return config(interfaces={"UDPInterface": list(elements)})


def peer(**changes: Any) -> dict[str, Any]:
    base = {"publicKey": PEER_TEXT, "password": "secret"} | changes
    return {key: value for key, value in base.items() if value is not None}


def connect(endpoint: str, credential: Any, bind: str = "0.0.0.0:5000") -> dict[str, Any]:
    return udp({"bind": bind, "connectTo": {endpoint: credential}})


def load(value: dict[str, Any] | str) -> LoadedConfig:
    text = value if isinstance(value, str) else json.dumps(value, indent=2)
    return load_settings(text.encode(), "test.conf", derive)


def problems(value: dict[str, Any] | str) -> list[ConfigProblem]:
    try:
        load(value)
    except ConfigError as error:
        return list(error.problems)
    return []


def messages(value: dict[str, Any] | str) -> list[str]:
    return [problem.message for problem in problems(value)]


def warnings(value: dict[str, Any] | str) -> list[str]:
    return [warning.message for warning in load(value).warnings]
