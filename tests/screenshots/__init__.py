"""Screenshots of every page for the docs, from the predictions of two models of four scikit-learn data sets."""
