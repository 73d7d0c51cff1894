"""Electricity demand of the next day, with its quantiles: a GRU encoder-decoder with covariates."""
