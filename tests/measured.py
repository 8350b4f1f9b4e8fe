"""Benchmarks and comparisons that nobody measured, for tests of what reads such files."""

from digit_vae.speed.records import comparison_summary, summary

STARTED = 1_700_000_000.5
CPU = {"cpu": "Some(R) CPU @ 2GHz", "cores": 2, "gpu": None, "device": "cpu", "platform": "Linux x86_64", "threads": 1}
GPU = CPU | {"cpu": "Other CPU", "gpu": "Some GPU", "device": "gpu"}
PARAMS = {"epochs": 2, "latent_dim": 2, "batch_size": 128, "device": "cpu", "precision": "float32"}


def benchmark(seeds=2, epochs=2, images=1000, precision="float32", machine=CPU):
    """Each epoch of seed s takes 10 + s seconds, and every loss is 200 - 10 * epoch + s."""
    machine = machine | {"precision": precision, "tensorflow": "2.21.0"}
    content = {
        "started_at": STARTED,
        "finished_at": STARTED + 100,
        "machine": machine,
        "git_commit": "0" * 40,
        "params": PARAMS | {"epochs": epochs, "device": machine["device"], "precision": precision},
        "images": images,
        "data": {"train_images": "a" * 64, "validation": "b" * 64},
        "runs": [_run(seed, epochs) for seed in range(seeds)],
    }
    return content | {"summary": summary(content)}


def _run(seed, epochs):
    return {
        "seed": seed,
        "started_at": STARTED + 50 * seed,
        "finished_at": STARTED + 50 * seed + 40,
        "setup_seconds": 3.0 + seed,
        "peak_bytes": 2**30,
        "matrix_gflops": 100.0,
        "epochs": [
            {
                "epoch": epoch,
                **dict.fromkeys(("loss", "reconstruction_loss", "val_loss"), 200.0 - 10 * epoch + seed),
                "train_seconds": 10.0 + seed,
                "validation_seconds": 1.0,
                "finished_at": STARTED + 50 * seed + 11 * epoch,
                "cpu_seconds": 11.0 * epoch,
            }
            for epoch in range(1, epochs + 1)
        ],
    }


def comparison():
    """Two rounds of two epochs, of which ten are extrapolated; this project is 2 and 2.5 times as fast as Keras."""
    rounds = [
        {"keras-float32": measured(40.0, 20.0), "digit_vae-float32": measured(20.0, 10.0)},
        {"keras-float32": measured(50.0, 25.0), "digit_vae-float32": measured(20.0, 10.0)},
    ]
    content = {
        "started_at": STARTED,
        "finished_at": STARTED + 130,
        "machine": CPU | {"precision": "float32", "tensorflow": "2.21.0"},
        "git_commit": None,
        "folds": 5,
        "steps": 1000,
        "epochs": 2,
        "full_epochs": 10,
        "rounds": rounds,
    }
    return content | {"summary": comparison_summary(content)}


def measured(seconds, epoch_seconds):
    return {"seconds": seconds, "epoch_seconds": epoch_seconds, "val_loss": 160.0}
