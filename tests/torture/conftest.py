"""The tiny corpora of the tests of tasks, for trainings that take seconds."""

from tests.tasks.conftest import answers_folder, documents_folder, paragraphs_file, sentences_file  # noqa: F401
