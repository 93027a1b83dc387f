"""From a model to text: sampling, the language model, comparing temperatures."""
