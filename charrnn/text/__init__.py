"""From a file to ids: corpora, encodings, vocabularies, windows."""
