from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeorsync.config import SETTINGS, AuthMode, Exit, Settings, debugging, is_loopback, load
from aeorsync.errors import StartupError


def told(environment: Mapping[str, str] | None = None, /, **flags: str) -> Settings:
    return load(flags, environment or {})


def refusal(environment: Mapping[str, str] | None = None, /, **flags: str) -> str:
    with pytest.raises(StartupError) as caught:
        told(environment, **flags)
    assert caught.value.exit_code == Exit.CONFIG
    return caught.value.message


def complaint(**flags: str) -> str | None:
    """Return why the flags are refused; None if they are not."""
    try:
        told(**flags)
    except StartupError as error:
        return error.message
    return None


def written(folder: Path, text: str) -> str:
    file = folder / "node.toml"
    file.write_text(text)
    return str(file)


def test_nothing_told_means_the_documented_defaults() -> None:
    assert told() == Settings(
        data=Path("data.aeorsync"),
        auth=AuthMode.SELF,
        identity_file=None,
        host="0.0.0.0",  # noqa: S104  # the documented default
        port=6830,
        advertise_url=None,
        peers=(),
        join=None,
        join_token=None,
        tls_cert=None,
        tls_key=None,
        cluster_ca=None,
        jwt_expiry=604_800,
        log_format="pretty",
        sync_interval=30,
        grave_retention=30 * 24 * 3600,
    )


def test_a_flag_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, "[server]\nport = 1001\n")
    environment = {"AEORSYNC_CONFIG": file}
    assert told(environment).port == 1001
    assert told(environment | {"AEORSYNC_PORT": "1002"}).port == 1002
    assert told(environment | {"AEORSYNC_PORT": "1002"}, port="1003").port == 1003


def test_the_config_flag_wins_over_its_variable(tmp_path: Path) -> None:
    file = written(tmp_path, "[server]\nport = 1001\n")
    assert told({"AEORSYNC_CONFIG": "/nowhere"}, config=file).port == 1001


def test_an_empty_variable_is_not_set() -> None:
    assert told({"AEORSYNC_PORT": "", "AEORSYNC_DATA": ""}) == told()


def test_an_empty_flag_unsets_what_the_environment_set() -> None:
    assert told({"AEORSYNC_PEERS": "http://a:1"}, peers="").peers == ()
    assert told({"AEORSYNC_ADVERTISE_URL": "http://a:1"}, advertise_url="").advertise_url is None


def test_every_key_of_a_full_file_is_taken(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        """
        [server]
        host = "127.0.0.1"
        port = 0
        log_format = "json"
        advertise_url = "https://a.example/"
        [server.tls]
        cert = "cert.pem"
        key = "key.pem"
        [auth]
        mode = "disabled"
        jwt_expiry_seconds = 60
        [storage]
        database = "nodeA.aeorsync"
        [cluster]
        peers = ["http://b:1", "http://c:1/"]
        join = "http://b:1"
        sync_interval_seconds = 3600
        """,
    )
    assert told({"AEORSYNC_JOIN_TOKEN": "secret"}, config=file) == Settings(
        data=Path("nodeA.aeorsync"),
        auth=AuthMode.DISABLED,
        identity_file=None,
        host="127.0.0.1",
        port=0,
        advertise_url="https://a.example",
        peers=("http://b:1", "http://c:1"),
        join="http://b:1",
        join_token="secret",
        tls_cert=Path("cert.pem"),
        tls_key=Path("key.pem"),
        cluster_ca=None,
        jwt_expiry=60,
        log_format="json",
        sync_interval=3600,
        grave_retention=30 * 24 * 3600,
    )


def test_peers_may_be_one_comma_text_in_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, '[cluster]\npeers = "http://b:1, http://c:1"\n')
    assert told(config=file).peers == ("http://b:1", "http://c:1")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[server]\nprot = 1\n", ["'server.prot'", "did you mean 'server.port'"]),
        ("[sever]\nport = 1\n", ["'sever'", "did you mean 'server"]),
        ("port = 1\n", ["'port'", "did you mean 'server.port'"]),
        ("[server.tls]\ncret = 'x'\n", ["'server.tls.cret'", "did you mean 'server.tls.cert'"]),
        ("[cluster]\njoin_token = 'x'\n", ["'cluster.join_token'"]),
        ("[zzzzzzzz]\n", ["'zzzzzzzz'", "known are", "server.port"]),
        ("[server]\nport = '6830'\n", ["server.port", "must be a whole number"]),
        ("[server]\nport = true\n", ["server.port", "must be a whole number"]),
        ("[server]\nport = 1.5\n", ["server.port", "must be a whole number"]),
        ("[server]\nhost = 1\n", ["server.host", "must be a text"]),
        ("server = 1\n", ["'server'"]),
        ("[server.port]\nx = 1\n", ["server.port", "must be a whole number"]),
        ("[auth]\nmode = false\n", ["auth.mode", "must be a text"]),
        ("[cluster]\npeers = [1]\n", ["cluster.peers", "must be a list of texts"]),
        (
            "[cluster]\npeers = ['http://a,http://b']\n",
            ["cluster.peers", "must be a list of texts"],
        ),
        ("[cluster]\npeers = 1\n", ["cluster.peers", "must be a list of texts"]),
        ("[server]\nport = 65536\n", ["server.port", "0 to 65535"]),
        ("[server\n", ["not TOML"]),
        ("x = " + "[" * 5000, ["not TOML"]),
        ("x = " + "9" * 5000, ["not TOML"]),
        ("#" * (1 << 20) + "\n", ["larger than"]),
    ],
)
def test_a_bad_file_is_refused_by_its_name_and_the_key(
    tmp_path: Path, text: str, words: list[str]
) -> None:
    message = refusal(config=written(tmp_path, text))
    for word in ["node.toml", *words]:
        assert word in message


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    assert "No such file" in refusal(config=str(tmp_path / "missing.toml"))
    assert "cannot read" in refusal(config=str(tmp_path))
    assert "cannot read" in refusal(config="a\0b")


@given(st.text() | st.sampled_from(["[server]", "port = ", "[[", "'", "\0"]).map(lambda t: t * 3))
def test_no_file_raises_anything_but_a_startup_error(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    file = tmp_path_factory.getbasetemp() / "garbage.toml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    complaint(config=str(file))


@given(
    name=st.sampled_from([s.name for s in SETTINGS if s.name != "host"]), text=st.text(max_size=40)
)
def test_no_value_raises_anything_but_a_startup_error_that_says_where(
    name: str, text: str
) -> None:
    setting = next(s for s in SETTINGS if s.name == name)
    message = complaint(host="127.0.0.1", **{name: text})
    # What needs a second setting, and what is the file of others, may be refused for those.
    if message is not None and name not in {"config", "join", "tls_cert", "tls_key"}:
        assert message.startswith(setting.flag)


@pytest.mark.parametrize(
    ("text", "mode", "file"),
    [
        ("self", AuthMode.SELF, None),
        ("./", AuthMode.SELF, None),
        ("disabled", AuthMode.DISABLED, None),
        ("false", AuthMode.DISABLED, None),
        ("False", AuthMode.DISABLED, None),
        ("null", AuthMode.DISABLED, None),
        ("no", AuthMode.DISABLED, None),
        ("0", AuthMode.DISABLED, None),
        ("file:///etc/Aeor/id", AuthMode.FILE, Path("/etc/Aeor/id")),
        ("file://id", AuthMode.FILE, Path("id")),
    ],
)
def test_auth_modes(text: str, mode: AuthMode, file: Path | None) -> None:
    settings = told(auth=text, host="127.0.0.1")
    assert (settings.auth, settings.identity_file) == (mode, file)


@pytest.mark.parametrize("text", ["", "selff", "true", "1", "off", "file://", "file:/x", "/x"])
def test_an_unknown_auth_mode_is_refused_never_guessed(text: str) -> None:
    assert "--auth" in refusal(auth=text, host="127.0.0.1")


def test_an_unknown_auth_mode_is_told_the_known_ones() -> None:
    message = refusal({"AEORSYNC_AUTH": "nope"})
    assert message.startswith("AEORSYNC_AUTH: 'nope'")
    for word in ["self", "./", "disabled", "false", "null", "no", "0", "file://"]:
        assert word in message


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]"])
def test_auth_may_be_disabled_on_loopback(host: str) -> None:
    settings = told(auth="disabled", host=host)
    assert settings.auth is AuthMode.DISABLED
    assert is_loopback(settings.host)


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "::", "10.0.0.1", "example.org", "127.1", "localhost.example", "128.0.0.1"],  # noqa: S104  # refused
)
def test_auth_may_not_be_disabled_where_others_reach(host: str) -> None:
    assert "auth is disabled" in refusal(auth="no", host=host)


@pytest.mark.parametrize(
    "host", ["", "127.0.0.1:6830", "a b", "http://a", "::1:zz", "a/b", "a\nb", "::1%a\n"]
)
def test_a_host_that_is_none_is_refused(host: str) -> None:
    assert "--host" in refusal(host=host)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("port", 0, 65_535),
        ("jwt_expiry", 60, 2_419_200),
        ("sync_interval", 1, 3600),
        ("gc_interval", 0, 8760),
    ],
)
def test_a_number_is_taken_within_its_range_only(name: str, low: int, high: int) -> None:
    for good in (low, high):
        assert getattr(told(**{name: str(good)}), name) == good
    for bad in (low - 1, high + 1, "", "abc", "1_0", " 7", "+7", "7.0", "\u0667", "9" * 5000):
        assert f"{low} to {high}" in refusal(**{name: str(bad)})


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1s", 1), ("90m", 5400), ("12H", 43_200), (" 30d ", 2_592_000), ("3650d", 315_360_000)],
)
def test_a_time_is_a_number_with_a_unit(text: str, seconds: int) -> None:
    assert told(grave_retention=text).grave_retention == seconds


@pytest.mark.parametrize(
    "text", ["", "0s", "3651d", "10", "d", "1w", "-1d", "1.5h", "1h30m", "٣d"]
)
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    assert "like 30d, 12h" in refusal(grave_retention=text)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://a:6830", "http://a:6830"),
        ("https://a.example/", "https://a.example"),
        ("http://a:1/prefix//", "http://a:1/prefix"),
        ("HTTP://A.Example:1", "http://a.example:1"),
        (" http://a:1 ", "http://a:1"),
        ("http://[::1]:6830/", "http://[::1]:6830"),
    ],
)
def test_a_url_has_one_normal_form(text: str, url: str) -> None:
    assert told(advertise_url=text).advertise_url == url
    assert told(peers=text).peers == (url,)
    assert told(join=text, join_token="t").join == url


@pytest.mark.parametrize(
    "text",
    [
        "a:6830",
        "localhost",
        "ftp://a",
        "http://",
        "http:///x",
        "http://:80",
        "http://a:99999",
        "http://a:x",
        "http://[::1",
        "http://a b",
        "http://a/b c",
        "http://a\n.example",
        "http://a?x=1",
        "http://a#x",
        "http://a<b",
        "file:///x",
    ],
)
def test_what_is_no_url_of_a_node_is_refused(text: str) -> None:
    for name in ("advertise_url", "peers", "join"):
        assert f"--{name.replace('_', '-')}" in refusal(**{name: text})


@pytest.mark.parametrize(
    "text", ["http://me:hunter2@a", "ftp://me:hunter2@a", "http://me:hunter2@a:x"]
)
def test_a_password_in_a_url_is_refused_and_not_repeated(text: str) -> None:
    message = refusal(peers=text)
    assert "password" in message
    assert "hunter2" not in message


def test_a_peer_named_twice_is_one_peer() -> None:
    urls = "http://b:1,http://a:1,http://b:1/,,"
    assert told(peers=urls).peers == ("http://b:1", "http://a:1")


def test_joining_needs_a_token() -> None:
    assert "AEORSYNC_JOIN_TOKEN" in refusal(join="http://a:1")
    assert "AEORSYNC_JOIN_TOKEN" in refusal(join="http://a:1", join_token="  ")
    assert told({"AEORSYNC_JOIN_TOKEN": " t\n"}, join="http://a:1").join_token == "t"


def test_the_join_token_is_not_in_the_repr() -> None:
    assert "hunter2" not in repr(told(join="http://a:1", join_token="hunter2"))


def test_a_certificate_needs_its_key() -> None:
    assert "--tls-cert and --tls-key" in refusal(tls_cert="a.pem")
    assert "--tls-cert and --tls-key" in refusal(tls_key="a.pem")
    assert told(tls_cert="a.pem", tls_key="b.pem").tls_key == Path("b.pem")


def test_a_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert told(data="~/x").data == Path("/home/me/x")
    assert "--database" in refusal(data="~nobody-of-that-name/x")


@pytest.mark.parametrize("text", ["", "a\nb", "a\0b", "\x1b[2J"])
def test_a_folder_without_a_plain_name_is_refused(text: str) -> None:
    message = refusal(data=text)
    assert message.startswith("--database")
    assert message.isprintable()


def test_an_unknown_log_format_is_refused() -> None:
    assert "pretty or json" in refusal(log_format="xml")


def test_every_setting_but_the_file_itself_is_a_field() -> None:
    names = {setting.name for setting in SETTINGS} - {"config"}
    assert names == set(Settings.__struct_fields__) - {"identity_file"}


def test_no_two_settings_share_a_flag_a_variable_or_a_key() -> None:
    for names in (
        [flag for setting in SETTINGS for flag in setting.flags],
        [setting.env for setting in SETTINGS],
        [setting.toml for setting in SETTINGS if setting.toml],
    ):
        assert len(names) == len(set(names))


def test_debugging_is_asked_for_by_its_variable() -> None:
    assert debugging({"AEORSYNC_DEBUG": "1"})
    assert not debugging({"AEORSYNC_DEBUG": "0"})
    assert not debugging({})


def test_origins_are_those_of_browsers() -> None:
    origins = "https://App.example, http://localhost:3000,https://app.example"
    settings = told({"AEORSYNC_CORS_ORIGINS": origins})
    assert settings.cors_origins == ("https://app.example", "http://localhost:3000")
    assert told(cors_origins="*").cors_origins == ("*",)
    for bad in ("app.example", "https://app.example/", "https://app.example/x", "null"):
        with pytest.raises(StartupError, match="--cors-origins"):
            told(cors_origins=bad)


def test_origins_may_be_a_list_in_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, '[server.cors]\norigins = ["https://a.example"]\n')
    assert told(config=file).cors_origins == ("https://a.example",)
