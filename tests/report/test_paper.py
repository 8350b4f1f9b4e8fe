from digit_vae.report.paper import TABLE_1


def test_the_papers_table_is_as_printed():
    seconds = {name: [epoch.seconds for epoch in epochs] for name, epochs in TABLE_1.items()}
    assert {name: (len(each), sum(each)) for name, each in seconds.items()} == {"CPU": (10, 1139), "GPU": (10, 50)}
    assert (TABLE_1["CPU"][-1].val_loss, TABLE_1["GPU"][-1].val_loss) == (158.62, 175.61)
    for epochs in TABLE_1.values():  # every loss falls from epoch to epoch, and holds a KL of 1 to 7 nats
        for column in ("loss", "reconstruction_loss", "val_loss"):
            values = [getattr(epoch, column) for epoch in epochs]
            assert values == sorted(values, reverse=True)
        assert all(1 < epoch.loss - epoch.reconstruction_loss < 7 for epoch in epochs)
