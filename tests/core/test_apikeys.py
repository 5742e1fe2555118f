"""The text of a key, its digest, and the record the cluster keeps."""

import json
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeorsync.core import apikeys
from aeorsync.core.apikeys import ApiKey, KeyRecord, KeyRule
from aeorsync.errors import BadRequestError, UnauthorizedError

ID = UUID("660e8400-e29b-41d4-a716-446655440000")
SECRET = bytes(range(32))
TEXT = "aeor_k_660e8400e29b41d4_" + SECRET.hex()
RECORD = KeyRecord(
    key_id=ID,
    key_hash=apikeys.digest(TEXT).hex(),
    user_id=UUID(int=0),
    created_at=1_000,
    expires_at=2_000,
)


def test_a_key_has_the_form_of_the_wire() -> None:
    assert apikeys.make(ID, SECRET) == TEXT
    assert len(TEXT) == 88


@given(st.uuids(), st.binary(min_size=32, max_size=32))
def test_what_is_made_is_parsed(key_id: UUID, secret: bytes) -> None:
    key = ApiKey.parse(apikeys.make(key_id, secret))
    assert key.half == key_id.hex[:16]
    assert key.text == apikeys.make(key_id, secret)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "aeor_k_",
        TEXT[:-1],
        TEXT + "0",
        TEXT + "\n",
        " " + TEXT,
        TEXT.upper(),
        TEXT.replace("aeor_k_", "aeor_r_"),
        TEXT.replace("_660", "_x60"),
        TEXT[:-1] + "g",
        "aeor_ak_660e8400e29b41d4_" + SECRET.hex(),
        "aeor_660e8400_" + SECRET.hex(),
        "\ud800",
    ],
)
def test_any_other_text_is_refused_like_a_wrong_key(text: str) -> None:
    with pytest.raises(UnauthorizedError, match=str(apikeys.refusal())):
        ApiKey.parse(text)


def test_only_its_own_key_opens_a_record() -> None:
    assert RECORD.is_opened_by(ApiKey.parse(TEXT))
    assert not RECORD.is_opened_by(ApiKey.parse(apikeys.make(ID, bytes(32))))


def test_the_digest_is_that_of_the_format() -> None:
    # Stored in every cluster: another digest would lock everybody out.
    assert (
        apikeys.digest(TEXT).hex()
        == "6705b0e371126b717c1c777e735b4228361b00a59ef7a62b9371ccb7045aa2ca"
    )


def test_a_key_never_prints_its_secret() -> None:
    key = ApiKey.parse(TEXT)
    assert SECRET.hex()[:6] not in repr(key) + str(key)
    assert SECRET.hex() not in RECORD.to_json().decode()


@given(
    st.builds(
        KeyRecord,
        key_id=st.uuids(),
        key_hash=st.binary(min_size=32, max_size=32).map(bytes.hex),
        user_id=st.uuids(),
        created_at=st.integers(0, 2**53),
        expires_at=st.integers(0, 2**53),
        is_revoked=st.booleans(),
        label=st.none() | st.text(st.characters(codec="utf-8")),
        rules=st.lists(st.builds(KeyRule, st.just("/a/**"), st.just("crud----"))).map(tuple),
    )
)
def test_a_record_survives_its_json(record: KeyRecord) -> None:
    assert KeyRecord.from_json(record.to_json()) == record
    assert json.loads(record.to_json())["key_id"] == str(record.key_id)


@pytest.mark.parametrize(
    "change",
    [
        {"key_id": "x"},
        {"key_hash": "00"},
        {"key_hash": "g" * 64},
        {"key_hash": "0" * 64 + "\n"},
        {"created_at": True},
        {"expires_at": None},
        {"is_revoked": 0},
        {"rules": [{"glob": "/a"}]},
        {"rules": {}},
    ],
)
def test_a_record_with_a_wrong_field_is_refused(change: dict[str, object]) -> None:
    body = json.dumps(json.loads(RECORD.to_json()) | change).encode()
    with pytest.raises(BadRequestError):
        KeyRecord.from_json(body)


@given(st.binary(max_size=50))
def test_any_bytes_are_refused_as_a_record(body: bytes) -> None:
    with pytest.raises(BadRequestError):
        KeyRecord.from_json(body)


@pytest.mark.parametrize("body", [b"[" * 100_000, b" " * (1 << 20) + RECORD.to_json()])
def test_a_record_that_is_too_deep_or_too_long_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequestError):
        KeyRecord.from_json(body)


def test_a_key_is_usable_until_it_expires_or_is_revoked() -> None:
    assert RECORD.usable(1_999)
    assert not RECORD.usable(2_000)
    assert not msgspec.structs.replace(RECORD, is_revoked=True).usable(1_000)


READ = KeyRule("/a/**", "-r--l---")


@pytest.mark.parametrize(
    ("user", "rules", "bounds"),
    [((READ,), (), ()), ((), (READ,), ()), ((), (), ((READ,),)), ((READ,), (READ,), ((READ,),))],
)
def test_what_a_key_opens_is_bounded_by_every_list_that_says_anything(
    user: tuple[KeyRule, ...], rules: tuple[KeyRule, ...], bounds: tuple[tuple[KeyRule, ...], ...]
) -> None:
    record = msgspec.structs.replace(RECORD, rules=rules, bounds=bounds)
    access = apikeys.access_of(record, (user,))
    assert access.flags("/a/x") == "-r--l---"
    assert access.flags("/b") == "--------"


def test_what_merely_binds_a_user_grants_nothing() -> None:
    other = msgspec.structs.replace(RECORD, user_id=ID)
    ruled = msgspec.structs.replace(other, rules=(KeyRule("**", "crudl---"),))
    leaning = msgspec.structs.replace(ruled, leans_on_user=True)
    assert apikeys.access_of(other, ((), (READ,))).is_nobody
    assert apikeys.access_of(leaning, ((), (READ,))).is_nobody
    assert apikeys.access_of(ruled, ((), (READ,))).flags("/a/x") == "-r--l---"
    assert apikeys.access_of(ruled, ((), (READ,))).flags("/b") == "--------"


def test_without_any_rule_root_may_do_everything_and_others_nothing() -> None:
    other = msgspec.structs.replace(RECORD, user_id=ID)
    assert apikeys.access_of(RECORD).is_everything
    assert apikeys.access_of(other).is_nobody
