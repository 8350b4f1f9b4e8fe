"""Notes of libraries that help nobody stay off the screen."""

from digit_vae.base.quiet import writable_folder


def test_matplotlib_keeps_its_files_elsewhere_only_where_home_cannot_be_written(tmp_path):
    assert writable_folder({"HOME": str(tmp_path)}) == {}
    assert writable_folder({"HOME": str(tmp_path / "none"), "MPLCONFIGDIR": "/own"}) == {}
    assert set(writable_folder({"HOME": str(tmp_path / "none")})) == {"MPLCONFIGDIR"}
