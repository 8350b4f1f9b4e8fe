"""What verify says at the end."""

import json

import pytest

from digit_vae.base.files import json_bytes
from digit_vae.verification.certificate import certificate, certificate_text
from digit_vae.verification.comparison import Deviation, Outcome


@pytest.mark.parametrize(("value", "text"), [("nan", "NaN"), ("inf", "Infinity"), ("-inf", "-Infinity")])
def test_a_certificate_has_a_text_for_what_json_has_no_number_for(value, text):
    value = float(value)
    deviation = Deviation("baseline-full-0", "epoch 2, loss", 155.0, value, abs(value - 155.0))
    written = json.loads(json_bytes(certificate([Outcome("baseline-full-0", "6 files", [deviation])], {})))
    [found] = written["compared"][0]["deviations"]
    assert (found["received"], found["size"]) == (text, text.removeprefix("-"))


def test_a_certificate_says_what_holds_and_names_what_does_not():
    deviation = Deviation("baseline-full-0", "epoch 2, loss", 155.0, 155.5, 0.5)
    compared = [Outcome("arrays", "MD5 of 9", []), Outcome("baseline-full-0", "6 files", [deviation])]
    facts = {"machine": {"cpu": "A CPU"}}
    assert certificate(compared[:1], facts) == facts | {
        "holds": True,
        "deviations": 0,
        "compared": [{"of": "arrays", "how": "MD5 of 9", "deviations": []}],
    }
    assert certificate(compared, facts)["compared"][1]["deviations"] == [deviation._asdict()]
    text = certificate_text(compared, facts)
    assert "1 deviation" in text
    assert "- machine.cpu: A CPU\n" in text
    assert "| arrays | MD5 of 9 | holds |\n" in text
    assert "- baseline-full-0: epoch 2, loss: expected 155.0, received 155.5, 0.5 apart\n" in text
    assert "deviation" not in certificate_text(compared[:1], facts)
