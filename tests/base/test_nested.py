from digit_vae.base.nested import flat


def test_nested_values_are_told_by_all_their_keys():
    values = {"a": {"b": 1.0, "c": {"d": "x"}}, "e": 3, "f": {}}
    assert flat(values) == {"a.b": 1.0, "a.c.d": "x", "e": 3}
    assert flat(values, "/") == {"a/b": 1.0, "a/c/d": "x", "e": 3}
