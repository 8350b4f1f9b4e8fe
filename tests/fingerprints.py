"""Fingerprints of two machines whose processors have AVX-512, so that their bytes can be asked to be the same."""

WIDE = {
    "cpu": "A CPU",
    "cores": 2,
    "instruction_sets": ["avx2", "avx512f"],
    "python": "3.11.7",
    "tensorflow": "2.21.0",
    "switches": {},
    "device": "cpu",
    "precision": "float32",
}
OTHER = WIDE | {"cpu": "Another CPU", "cores": 8, "instruction_sets": ["avx512f", "amx_tile"], "python": "3.11.9"}
# As machines on which bytes held are listed: without a precision.
LISTED = [{name: value for name, value in each.items() if name != "precision"} for each in (WIDE, OTHER)]
