"""What a node was told: defaults, a TOML file, the environment and flags, read once.

    flag  >  environment  >  TOML file  >  default

``SETTINGS`` is the one table of all settings: the loader, the help of the command line and the
test of ``docs/operations.md`` are driven by it. Every value becomes text with an origin first and
is then parsed once, so a refusal always names the place the value came from.

An empty environment variable counts as not set. Unknown keys in the TOML file are refused by
name. Every refusal is a ``StartupError`` with ``Exit.CONFIG``; no other error is raised.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from aeorsync.config import files, values
from aeorsync.config.profiles import DEFAULT_PROFILE, PROFILE_VARIABLE, Profile, Profiles
from aeorsync.config.table import MAX_RETENTION_S, SETTINGS, WEEK, Setting
from aeorsync.config.values import AuthMode, Exit, Given, LogFormat, is_loopback, refused

__all__ = [
    "DEBUG_VARIABLE",
    "DEFAULT_PROFILE",
    "DEFAULT_URL",
    "KEY_VARIABLE",
    "PROFILE_VARIABLE",
    "SETTINGS",
    "URL_VARIABLE",
    "AuthMode",
    "Exit",
    "LogFormat",
    "Profile",
    "Profiles",
    "Setting",
    "Settings",
    "Target",
    "colours",
    "debugging",
    "is_loopback",
    "load",
    "target",
]

DEBUG_VARIABLE: Final = "AEORSYNC_DEBUG"
URL_VARIABLE: Final = "AEORSYNC_URL"
CA_VARIABLE: Final = "AEORSYNC_CLUSTER_CA"
KEY_VARIABLE: Final = "AEORSYNC_KEY"
_COLOURS: Final = ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
DEFAULT_URL: Final = "http://localhost:6830"

_TYPE_WORDS: Final = {int: "a whole number", str: "a text", list: "a list of texts"}


class Settings(msgspec.Struct, frozen=True):
    """All settings of a node, parsed and checked against each other.

    Attributes:
        data: The data folder; it need not exist yet.
        auth: Where keys are kept.
        identity_file: The file to take keys from; set iff ``auth`` is ``FILE``.
        host: Address or name to listen on, without brackets.
        port: 0 for any free one.
        advertise_url: URL of this node for others, without a slash at its end.
        peers: URLs without a slash at their ends, each once, in the order given.
        join: URL of a node of the cluster to join; ``join_token`` is then set too.
        join_token: Secret; not in the ``repr``.
        tls_cert: PEM file; set iff ``tls_key`` is.
        tls_key: PEM file.
        cors_origins: As browsers spell them; ``*`` for all; none when empty.
        cluster_ca: PEM file; None for the system's authorities.
        jwt_expiry: Seconds.
        log_format: For ``runtime.log``.
        sync_interval: Seconds.
        gc_interval: Hours after which garbage is collected at the latest; 0 for never by itself.
        grave_retention: Seconds.
    """

    data: Path
    auth: AuthMode
    identity_file: Path | None
    host: str
    port: int
    advertise_url: str | None
    peers: tuple[str, ...]
    join: str | None
    join_token: str | None
    tls_cert: Path | None
    tls_key: Path | None
    cluster_ca: Path | None
    jwt_expiry: int
    log_format: LogFormat
    sync_interval: int
    grave_retention: int
    gc_interval: int = 24
    cors_origins: tuple[str, ...] = ()

    def __repr__(self) -> str:
        names = (name for name in self.__struct_fields__ if name != "join_token")
        return f"Settings({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"


class Target(msgspec.Struct, frozen=True):
    """A running node that a command talks to.

    Attributes:
        url: Without a slash at its end.
        key: API key or token; None where auth is disabled. Not in the ``repr``.
        cluster_ca: PEM file of the authorities to believe; None for the system's.
    """

    url: str
    key: str | None
    cluster_ca: Path | None = None

    def __repr__(self) -> str:
        return f"Target({self.url!r})"


def load(flags: Mapping[str, str | None], environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings that the flags, the environment and the TOML file come to.

    Args:
        flags: The text given for each setting, by its name; None or absent if not given.
        environment: Variables by name.

    Raises:
        StartupError: A value, a key or a combination cannot be used.
    """
    given = {setting.name: Given(setting.default, "default") for setting in SETTINGS}
    told = _from_environment(environment) | _from_flags(flags)
    config = told.get("config", given["config"])
    if config.text:
        given |= _from_file(Path(config.text))
    return _checked(_parsed(given | told))


def target(
    url: str | None,
    key: str | None,
    environment: Mapping[str, str] = os.environ,
    *,
    profile: str | None = None,
) -> Target:
    """Return the node that a command talks to.

        --url, --key  >  --profile  >  AEORSYNC_URL, AEORSYNC_KEY  >  AEORSYNC_PROFILE, default

    The stored key of a profile goes to the server it was stored with, and nowhere else.

    Args:
        url: The text of ``--url``; None if not given.
        key: The text of ``--key``; None if not given.
        environment: Variables by name.
        profile: The text of ``--profile``; None if not given.

    Raises:
        StartupError: The URL, the key or the profile cannot be used.
    """
    stored = _chosen(profile, environment)
    asked = _asked_url(url, environment, is_profile_asked=profile is not None)
    address = asked or (stored.url if stored is not None else DEFAULT_URL)
    is_its = stored is not None and stored.url == address
    if profile is not None and not is_its:
        raise refused(
            f"--profile {profile} is for {stored.url if stored else '?'}, not for {address}"
        )
    if not is_its:
        stored = next((one for one in _others(environment) if one.url == address), None)
    origin, secret = _asked_key(key, environment, is_profile_asked=profile is not None)
    if secret is None and stored is not None:
        origin, secret = f"profile {stored.name}", stored.key
    authorities = environment.get(CA_VARIABLE)
    ca = Path(authorities) if authorities else stored.cluster_ca if stored is not None else None
    return Target(address, _checked_key(secret, origin), ca)


def _chosen(profile: str | None, environment: Mapping[str, str]) -> Profile | None:
    """The profile asked for by a flag or a variable, or the default one."""
    profiles = Profiles.find(environment)
    name, origin = profile, "--profile"
    if name is None:
        name, origin = environment.get(PROFILE_VARIABLE) or None, PROFILE_VARIABLE
    if name is None:
        return profiles.get(DEFAULT_PROFILE)
    found = profiles.get(name)
    if found is None:
        known = ", ".join(one.name for one in profiles.all())
        hint = f"known are {known}" if known else "log in first: aeorsync login URL"
        raise refused(f"{origin}: there is no profile {name!r:.80}; {hint}")
    return found


def _others(environment: Mapping[str, str]) -> list[Profile]:
    return Profiles.find(environment).all()


def _asked_url(
    url: str | None, environment: Mapping[str, str], *, is_profile_asked: bool
) -> str | None:
    if url is not None:
        return values.parse_url(Given(url, "--url"))
    told = environment.get(URL_VARIABLE)
    if is_profile_asked or not told:
        return None
    return values.parse_url(Given(told, URL_VARIABLE))


def _asked_key(
    key: str | None, environment: Mapping[str, str], *, is_profile_asked: bool
) -> tuple[str, str | None]:
    """Where a key was given, and what; None where none was."""
    if key is not None:
        return "--key", key
    told = environment.get(KEY_VARIABLE)
    return KEY_VARIABLE, (told if told and not is_profile_asked else None)


def _checked_key(secret: str | None, origin: str) -> str | None:
    secret = (secret or "").strip()
    if not (secret.isascii() and secret.isprintable()) or " " in secret:
        # The text is not repeated: it is a secret.
        raise refused(f"{origin}: not an API key or a token")
    return secret or None


def colours(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether somebody may want colours also where there is no terminal."""
    return not environment.keys().isdisjoint(_COLOURS)


def debugging(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether ``AEORSYNC_DEBUG`` asks for tracebacks."""
    return environment.get(DEBUG_VARIABLE, "").lower() in {"1", "true", "yes", "on"}


def _from_flags(flags: Mapping[str, str | None]) -> dict[str, Given]:
    texts = ((setting, flags.get(setting.name)) for setting in SETTINGS)
    return {s.name: Given(text, s.flag) for s, text in texts if text is not None}


def _from_environment(environment: Mapping[str, str]) -> dict[str, Given]:
    texts = ((setting, environment.get(setting.env)) for setting in SETTINGS)
    return {s.name: Given(text, s.env) for s, text in texts if text}


def _from_file(path: Path) -> dict[str, Given]:
    known = {setting.toml: setting for setting in SETTINGS if setting.toml}
    given = {}
    # Folders to sync may stand in the same file; `config.folders` reads them.
    for key, value in _flattened(files.read(path), sections=_sections(known)):
        if key == "sync":
            continue
        if key not in known:
            raise refused(f"{path}: there is no setting {key!r}{files.meant(key, known)}")
        given[known[key].name] = _as_text(known[key], value, f"{path}: {key}")
    return given


def _sections(keys: Mapping[str, Setting]) -> set[str]:
    """Return the dotted name of every table that may hold a key."""
    parts = [key.split(".") for key in keys]
    return {".".join(part[:size]) for part in parts for size in range(1, len(part))}


def _flattened(
    table: Mapping[str, object], sections: set[str], prefix: str = ""
) -> Iterator[tuple[str, object]]:
    """Yield each dotted key with its value, descending into known tables only."""
    for key, value in table.items():
        dotted = f"{prefix}{key}"
        if dotted in sections and isinstance(value, dict):
            yield from _flattened(value, sections, f"{dotted}.")
        else:
            yield dotted, value


def _as_text(setting: Setting, value: object, origin: str) -> Given:
    if setting.kind is list and isinstance(value, list):
        texts = [item for item in value if isinstance(item, str) and "," not in item]
        if len(texts) == len(value):
            return Given(",".join(texts), origin)
    # A list may be one comma text; True is an int to Python, not to a person.
    wanted = str if setting.kind is list else setting.kind
    if type(value) is not wanted:
        raise refused(f"{origin}: must be {_TYPE_WORDS[setting.kind]}, not {value!r:.60}")
    return Given(str(value), origin)


def _parsed(given: Mapping[str, Given]) -> Settings:
    auth, identity_file = values.parse_auth(given["auth"])
    token = given["join_token"]
    return Settings(
        data=values.parse_path(given["data"]),
        auth=auth,
        identity_file=identity_file,
        host=values.parse_host(given["host"]),
        port=values.parse_whole(given["port"], 0, 65_535),
        advertise_url=values.parse_optional_url(given["advertise_url"]),
        peers=values.parse_urls(given["peers"]),
        join=values.parse_optional_url(given["join"]),
        join_token=token.text.strip() or None,
        tls_cert=values.parse_optional_path(given["tls_cert"]),
        tls_key=values.parse_optional_path(given["tls_key"]),
        cors_origins=values.parse_origins(given["cors_origins"]),
        cluster_ca=values.parse_optional_path(given["cluster_ca"]),
        jwt_expiry=values.parse_whole(given["jwt_expiry"], 60, 4 * WEEK),
        log_format=values.parse_log_format(given["log_format"]),
        sync_interval=values.parse_whole(given["sync_interval"], 1, 3600),
        gc_interval=values.parse_whole(given["gc_interval"], 0, 8760),
        grave_retention=values.parse_duration(given["grave_retention"], 1, MAX_RETENTION_S),
    )


def _checked(settings: Settings) -> Settings:
    """Return ``settings`` if they fit together."""
    if settings.auth is AuthMode.DISABLED and not is_loopback(settings.host):
        raise refused(
            f"auth is disabled and host is {settings.host}: anybody who reaches this machine could"
            " read and change every file. Use --host 127.0.0.1 or --auth self"
        )
    if settings.join is not None and settings.join_token is None:
        raise refused("--join needs the root token of that cluster: set AEORSYNC_JOIN_TOKEN")
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise refused("--tls-cert and --tls-key belong together: give both or none")
    return settings
