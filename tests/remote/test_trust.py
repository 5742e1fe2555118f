"""What is said about a certificate that is not believed."""

import ssl

import pytest

from aeorsync.errors import UnavailableError, UntrustedError
from aeorsync.remote.trust import distrust


def refusal(code: int, words: str = "words of a library") -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, words)
    error.verify_code, error.verify_message = code, words
    return error


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (9, "not valid yet; compare the clocks"),
        (10, "expired; renew it there"),
        (18, "self-signed .*--cluster-ca"),
        (20, "authority that is not trusted here; .*--cluster-ca"),
        (62, "for another host"),
        (64, "for another host"),
        (26, "cannot be verified: words of a library"),
    ],
)
def test_each_fault_of_a_certificate_has_its_own_words(code: int, words: str) -> None:
    error = OSError("connection failed")
    error.__cause__ = refusal(code)
    told = distrust("https://peer", error)
    assert told is not None
    with pytest.raises(UntrustedError, match=f"^https://peer shows .*{words}"):
        raise told


def test_an_untrusted_peer_is_one_that_cannot_be_used_now() -> None:
    assert issubclass(UntrustedError, UnavailableError)


def test_what_has_nothing_to_do_with_tls_is_left_to_others() -> None:
    assert distrust("https://peer", OSError("connection refused")) is None


def test_a_failed_handshake_names_what_the_library_says() -> None:
    error = ssl.SSLError(1, "[SSL: NO_SHARED_CIPHER] no shared cipher")
    error.reason = "NO_SHARED_CIPHER"
    told = distrust("https://peer", error)
    assert told is not None
    assert told.message == "https://peer failed in the TLS handshake: NO_SHARED_CIPHER"
