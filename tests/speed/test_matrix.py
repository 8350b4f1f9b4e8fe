import pytest
import tensorflow as tf

from digit_vae.speed import matrix


@pytest.mark.usefixtures("cpu")
@pytest.mark.parametrize(("precision", "dtype"), [("float32", tf.float32), ("mixed_bfloat16", tf.bfloat16)])
def test_the_rate_is_two_operations_for_each_product_in_the_fastest_time(monkeypatch, precision, dtype):
    multiplied, matmul = [], tf.matmul
    monkeypatch.setattr(matrix.tf, "matmul", lambda *factors: multiplied.append(factors) or matmul(*factors))
    monkeypatch.setattr(matrix, "REPETITIONS", 3)
    clock = iter([0.0, 4.0, 10.0, 12.0, 20.0, 23.0])  # repetitions of 4, 2 and 3 seconds
    monkeypatch.setattr(matrix.time, "perf_counter", lambda: next(clock))
    assert matrix.matrix_gflops("cpu", precision, size=100) == pytest.approx(2 * 100**3 / 2 / 1e9)
    assert all((factor.dtype, factor.shape) == (dtype, (100, 100)) for factors in multiplied for factor in factors)
    assert multiplied
