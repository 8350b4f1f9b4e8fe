"""One thin script a stage of dvc.yaml: read files, call the library, write files."""
