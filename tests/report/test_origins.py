from digit_vae.report.origins import letter, machines, machines_table, origins


def changed(result, **machine):
    result.timings["machine"] = result.timings["machine"] | machine


def test_one_machine_and_one_classifier_are_nothing_to_warn_of(results):
    found = origins(results.runs.values())
    assert (found.trained_on, found.evaluated_on, found.classifiers) == (1, 1, 1)
    assert not found.several


def test_what_the_params_decide_or_changes_no_number_makes_no_other_machine(results):
    changed(results.runs["baseline-full-0"], device="gpu", precision="mixed_bfloat16", python="3.12.1", h5py="4")
    assert origins(results.runs.values()).trained_on == 1


def test_what_only_evaluations_record_makes_no_other_machine(results):
    for each in results.runs.values():
        each.evaluation["machine"] = each.timings["machine"] | {"scipy": "1.2.3", "scikit-learn": "4.5.6"}
    assert len(machines(results.runs.values())) == 1


def test_several_machines_and_classifiers_are_told(results):
    changed(results.runs["dropout-fold1-0"], cpu="Another CPU")
    results.runs["dropout-fold2-0"].evaluation["classifier_sha256"] = "e" * 64
    found = origins(results.runs.values())
    assert (found.trained_on, found.classifiers, found.several) == (2, 2, True)
    known = machines(results.runs.values())
    assert [letter(each.timings["machine"], known) for each in results.in_graph("paper")][-2:] == ["B", "A"]
    rows = {row[0]: row for row in machines_table(results.runs.values()).rows}
    total = len(results.runs)
    assert rows["A"][-2:] == (total - 1, total)
    assert rows["B"][1:2] + rows["B"][-2:] == ("Another CPU, 2 cores", 1, 0)
