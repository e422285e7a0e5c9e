"""The data of the page's plots that no table of the report has: curves over time, histograms of scores and numbers."""
