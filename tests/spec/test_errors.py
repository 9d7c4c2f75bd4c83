import pytest

from lstm_tune.spec.errors import BundleError, Fault, InputError, SearchFailedError, did_you_mean, lookup


def test_all_faults_stand_in_one_message() -> None:
    error = InputError([Fault("a.yaml:3", "is wrong"), Fault("", "is also wrong")])
    assert str(error) == "a.yaml:3: is wrong\nis also wrong"


def test_wrong_input_and_failure_have_exit_codes_of_their_own() -> None:
    assert (InputError.at("a", "b").exit_code, BundleError("a").exit_code, SearchFailedError("a").exit_code) == (
        2,
        2,
        1,
    )


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("hiden_units", ["units", "depth"], "Did you mean 'units'?"),
        ("zzz", ["units", "depth"], "Known: depth, units."),
        ("zzz", [], "There are none."),
    ],
)
def test_nearest_name_is_proposed_or_all_are_listed(name: str, known: list[str], hint: str) -> None:
    assert did_you_mean(name, known) == hint


def test_lookup_finds_or_proposes() -> None:
    assert lookup({"a": 1}, "a", what="letter") == 1
    with pytest.raises(InputError, match=r"^here: 'tpee' is not a sampler\. Did you mean 'tpe'\?$"):
        lookup({"tpe": 1, "gp": 2}, "tpee", what="sampler", where="here")
