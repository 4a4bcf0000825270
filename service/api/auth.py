"""Who may call what: bearer keys and their roles."""

from __future__ import annotations

from service.api.asgi import Scope, header
from service.domain.errors import AuthenticationFailed, PermissionDenied
from service.domain.records import Key
from service.storage.keys import ROLES, KeyStore

MAX_KEY = 512


def authenticate(scope: Scope, keys: KeyStore, least: str = "caller") -> Key:
    """The key of a request with at least the role ``least``; raises HeadgateError."""
    value = header(scope, b"authorization")
    scheme, _, secret = value.partition(" ")
    secret = secret.strip()
    if scheme.lower() != "bearer" or not secret:
        raise AuthenticationFailed("send your key as Authorization: Bearer KEY", code="missing_key")
    key = keys.find(secret) if len(secret) <= MAX_KEY else None
    if key is None:
        raise AuthenticationFailed("this key is not known here, or valid no more")
    return has_role(key, least)


def authenticate_either(scope: Scope, keys: KeyStore) -> Key:
    """The key of a request that may also bear it as Anthropic's clients do, in ``x-api-key``."""
    if header(scope, b"authorization") or not (secret := header(scope, b"x-api-key")):
        return authenticate(scope, keys)
    bearer = (b"authorization", b"Bearer " + secret.encode("latin-1"))
    return authenticate({"headers": [bearer]}, keys)


def has_role(key: Key, least: str) -> Key:
    """The key, if it has at least the role; raises PermissionDenied."""
    if ROLES.index(key.role) < ROLES.index(least):
        raise PermissionDenied(f"this needs the role {least}; the key has {key.role}")
    return key
