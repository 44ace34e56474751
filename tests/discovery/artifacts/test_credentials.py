"""Secrets: refused in requests, named by an alias, looked up, and in no error's text."""

from __future__ import annotations

import pytest

from discovery.artifacts.credentials import (
    PLAINTEXT,
    check_alias,
    refuse_plaintext,
    secret_of,
)
from discovery.errors import InvalidArgumentError

SECRET = "hunter2"
REFUSED = ["api_key", "apikey", "api_token", "token", "auth_token", "bearer_token", "password"]
REFUSED += ["secret", "hf_token", "huggingface_token", "huggingface_api_key"]


def secrets_file(tmp_path, text: str, mode: int = 0o600):
    file = tmp_path / "secrets.toml"
    file.write_text(text, encoding="utf-8")
    file.chmod(mode)
    return file


def refusal(alias: str, environ: dict[str, str], file=None) -> str:
    with pytest.raises(InvalidArgumentError) as caught:
        secret_of(alias, environ, file)
    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__ or SECRET not in repr(caught.value.__context__)
    return str(caught.value)


# ---- requests


def test_the_refused_fields_are_those_of_the_source():
    assert set(REFUSED) == PLAINTEXT


@pytest.mark.parametrize("field", REFUSED)
def test_a_field_that_would_carry_a_secret_is_refused_in_any_case(field):
    for name in (field, field.upper(), field.title()):
        with pytest.raises(InvalidArgumentError) as caught:
            refuse_plaintext(["name", name])
        assert f"field {name!r} is refused: no secret goes into a request" in str(caught.value)
        for where in ("DISCOVERY_CREDENTIAL_<ALIAS>", "credentials_file", "credential_alias"):
            assert where in str(caught.value)


def test_other_fields_pass():
    refuse_plaintext(["name", "version", "credential_alias", "tokenizer", "source", 3, None])


# ---- aliases


@pytest.mark.parametrize("alias", ["a", "my-team_1", "A" * 64])
def test_an_alias_has_letters_digits_underscores_and_hyphens(alias):
    assert check_alias(alias) == alias


def test_no_alias_is_none():
    assert check_alias(None) is None


@pytest.mark.parametrize("alias", ["", "a b", "a.b", "a/b", "é", "a\n", "A" * 65, 3, ["a"]])
def test_what_is_no_alias_is_refused(alias):
    with pytest.raises(
        InvalidArgumentError, match=r"credential_alias .*: expected 1 to 64 letters"
    ):
        check_alias(alias)


# ---- looked up


def test_a_secret_is_that_of_the_environment(tmp_path):
    environ = {"DISCOVERY_CREDENTIAL_MY_TEAM_1": f" {SECRET}\n", "MY_TEAM_1": "x"}
    assert secret_of("my-Team_1", environ, None) == SECRET
    file = secrets_file(tmp_path, 'my-Team_1 = "of the file"')
    assert secret_of("my-Team_1", environ, file) == SECRET


def test_a_secret_is_else_that_of_the_file(tmp_path):
    file = secrets_file(tmp_path, f'other = "x"\nteam = " {SECRET} "\n')
    assert secret_of("team", {"DISCOVERY_CREDENTIAL_OTHER": "y"}, file) == SECRET


@pytest.mark.parametrize("mode", [0o400, 0o600])
def test_a_file_that_only_its_owner_can_read_is_read(tmp_path, mode):
    file = secrets_file(tmp_path, f'team = "{SECRET}"', mode)
    assert secret_of("team", {}, file) == SECRET


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o644, 0o777])
def test_a_file_that_others_may_use_is_refused_with_what_to_do(tmp_path, mode):
    file = secrets_file(tmp_path, f'team = "{SECRET}"', mode)
    told = refusal("team", {}, file)
    assert told == f"credentials file {file}: others may read it; run: chmod 600 {file}"


def test_an_unknown_alias_says_where_to_put_it(tmp_path):
    assert refusal("team-a", {}) == (
        "credential_alias 'team-a' stands for nothing: put the secret into the variable "
        "DISCOVERY_CREDENTIAL_TEAM_A, or into the file of artifacts.credentials_file"
    )
    file = secrets_file(tmp_path, f'other = "{SECRET}"')
    assert refusal("team-a", {"DISCOVERY_CREDENTIAL_OTHER": SECRET}, file) == (
        "credential_alias 'team-a' stands for nothing: put the secret into the variable "
        f"DISCOVERY_CREDENTIAL_TEAM_A, or into {file}, as `team-a = ...`"
    )


@pytest.mark.parametrize("secret", ["", " ", "\n\t"])
def test_an_empty_secret_says_where_to_put_one(tmp_path, secret):
    variable = "DISCOVERY_CREDENTIAL_TEAM"
    assert refusal("team", {variable: secret}) == (
        "credential_alias 'team' stands for an empty secret: put one into the variable "
        "DISCOVERY_CREDENTIAL_TEAM"
    )
    file = secrets_file(tmp_path, f"team = {secret!r}".replace("'", '"'))
    assert refusal("team", {}, file).endswith(f"an empty secret: put one into {file}")


@pytest.mark.parametrize("value", ["3", "true", f'["{SECRET}"]', f'{{a = "{SECRET}"}}'])
def test_a_secret_of_the_file_is_a_text(tmp_path, value):
    assert "an empty secret" in refusal("team", {}, secrets_file(tmp_path, f"team = {value}"))


@pytest.mark.parametrize(
    "text",
    [
        f"team = {SECRET}",
        f'team = "{SECRET}',
        f"{SECRET}",
        f'x = "{SECRET}"\nx = 3',
        f'team = {"[" * 2000}"{SECRET}"',
    ],
)
def test_a_file_that_is_no_toml_does_not_give_away_what_is_in_it(tmp_path, text):
    file = secrets_file(tmp_path, text)
    told = refusal("team", {}, file)
    assert told == f'credentials file {file}: expected TOML, a line `alias = "secret"` each'


def test_a_file_that_is_no_utf_8_does_not_give_away_what_is_in_it(tmp_path):
    file = secrets_file(tmp_path, "")
    file.write_bytes(f'team = "{SECRET}\xff"'.encode("latin-1"))
    assert "expected TOML" in refusal("team", {}, file)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    missing = tmp_path / "gone.toml"
    assert refusal("t", {}, missing) == f"credentials file {missing}: No such file or directory"
    assert refusal("t", {}, tmp_path) == f"credentials file {tmp_path}: Is a directory"
