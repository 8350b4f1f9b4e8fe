import json

from digit_vae.site.charts import Axis, Band, Chart, Panel, Point, Rule, Series, charts_json


def test_a_chart_is_plain_json_without_what_is_absent():
    points = [Point(1.5, 0.25, "a point"), Point(2.0, 0.5, "an interval", 1.0, 3.0)]
    panel = Panel("what it shows", Axis("nats"), Axis("", ["a", "b"]), [Series(points)], rules=[Rule(0.0)])
    [read] = json.loads(charts_json({"one": Chart([panel])}))["one"]["panels"]
    assert read["series"][0]["points"] == [
        {"x": 1.5, "y": 0.25, "says": "a point"},
        {"x": 2.0, "y": 0.5, "says": "an interval", "low": 1.0, "high": 3.0},
    ]
    assert read["y"]["names"] == ["a", "b"]
    assert read["rules"] == [{"at": 0.0}]
    assert "band" not in read


def test_zeros_are_kept():
    panel = Panel(
        "zero", Axis("x"), Axis("y"), [Series([Point(0, 0.0, "none", 0.0, 0.0)], colour=0)], band=Band(0, 0, "b")
    )
    [read] = json.loads(charts_json({"one": Chart([panel])}))["one"]["panels"]
    assert read["series"][0]["points"] == [{"x": 0, "y": 0, "says": "none", "low": 0, "high": 0}]
    assert read["series"][0]["colour"] == 0
    assert read["band"] == {"low": 0, "high": 0, "says": "b"}
