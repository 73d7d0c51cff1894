"""`ForecastNet`: a GRU reads the past, another one the known future, and each step ahead gets three quantiles.

An encoder-decoder after Cho et al. (2014, arXiv:1406.1078), made to forecast with known covariates and quantiles as in
Wen et al. (2017, "A Multi-Horizon Quantile Recurrent Forecaster", arXiv:1711.11053).
"""

from __future__ import annotations

import math

import torch
from torch import nn

PAST = ("demand", "temperature", "workday", "hour", "weekday")
CALENDAR = ("workday", "hour", "weekday")
QUANTILES = (0.1, 0.5, 0.9)

_DAY, _WEEK = 48, 336  # half-hours
_MARKS = 7  # features that `_calendar` makes


class ForecastNet(nn.Module):
    """Half-hours of demand, weather and calendar -> the quantiles of the demand to come.

    What a person would guess stands in the graph: the demand of the same time a day and a week before. A gate mixes
    both, and the network adds what it knows better. Neither the length of the past nor the horizon is fixed.

    Attributes:
        centre: float32 `(2,)`, mean of demand and temperature; a buffer, so that raw values go in and come out.
        scale: float32 `(2,)`, by which what is left is divided.
    """

    centre: torch.Tensor
    scale: torch.Tensor

    def __init__(self, *, hidden_size: int, dropout: float) -> None:
        """Make the network with fresh weights.

        Args:
            hidden_size: of both GRUs.
            dropout: probability with which a value that the decoder makes is dropped while training.
        """
        super().__init__()
        self.register_buffer("centre", torch.zeros(2))
        self.register_buffer("scale", torch.ones(2))
        self.encoder = nn.GRU(2 + _MARKS, hidden_size, batch_first=True)
        # Ahead: calendar, temperature and whether it is known, and demand, temperature and workday at both lags.
        self.decoder = nn.GRU(_MARKS + 2 + 2 * 3, hidden_size, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Sequential(nn.Linear(hidden_size, hidden_size), nn.ReLU(), nn.Linear(hidden_size, 4))

    def forward(
        self, past: torch.Tensor, calendar: torch.Tensor, temperature: torch.Tensor, known: torch.Tensor
    ) -> torch.Tensor:
        """Forecast as many half-hours as the calendar has rows.

        Args:
            past: float32 `(batch, time, 5)`, a row each half-hour, at least a week (336): demand in GW, temperature in
                degrees Celsius, workday (1) or not (0), hour of the day (0 to 23.5), weekday (0 Monday to 6 Sunday).
            calendar: float32 `(batch, horizon, 3)`, the half-hours that follow: workday, hour, weekday.
            temperature: float32 `(batch, horizon, 1)`, what is forecast for them, in degrees Celsius.
            known: float32 `(batch, horizon, 1)`, 1 where that is known, 0 where it is not: there the value is ignored,
                and the temperature of the same time on the last day stands for it.

        Returns:
            quantiles: float32 `(batch, horizon, 3)`, GW: below them the demand lies with a probability of 0.1, 0.5
            and 0.9. They never cross.
        """
        values = (past[..., :2] - self.centre) / self.scale
        _, state = self.encoder(torch.cat((values, _calendar(past[..., 2:])), dim=2))
        ahead = torch.arange(calendar.size(1), device=past.device)
        lagged = torch.cat((values, past[..., 2:3]), dim=2)
        time = past.size(1)
        day = lagged.index_select(1, time - _DAY + ahead % _DAY)
        week = lagged.index_select(1, time - _WEEK + ahead % _WEEK)
        weather = (temperature - self.centre[1]) / self.scale[1]
        weather = known * weather + (1 - known) * day[..., 1:2]
        hidden, _ = self.decoder(torch.cat((_calendar(calendar), weather, known, day, week), dim=2), state)
        out = self.head(self.dropout(hidden))
        gate = torch.sigmoid(out[..., 0:1])
        median = gate * day[..., 0:1] + (1 - gate) * week[..., 0:1] + out[..., 1:2]
        apart = nn.functional.softplus(out[..., 2:])
        quantiles = torch.cat((median - apart[..., :1], median, median + apart[..., 1:]), dim=2)
        return quantiles * self.scale[0] + self.centre[0]


def _calendar(rows: torch.Tensor) -> torch.Tensor:
    """Workday, hour and weekday `(batch, rows, 3)` -> features `(batch, rows, 7)` in which midnight has no edge."""
    workday, hour, weekday = rows[..., 0:1], rows[..., 1:2], rows[..., 2:3]
    day = hour * (2 * math.pi / 24)
    week = (weekday + hour / 24) * (2 * math.pi / 7)
    waves = [wave for angle in (day, 2 * day, week) for wave in (torch.sin(angle), torch.cos(angle))]
    return torch.cat((workday, *waves), dim=2)


def build(*, hidden_size: int = 64, dropout: float = 0.2) -> ForecastNet:
    """Make the model with fresh weights and no normalisation; the defaults fit the committed checkpoint.

    Args:
        hidden_size: of both GRUs.
        dropout: see :class:`ForecastNet`.
    """
    return ForecastNet(hidden_size=hidden_size, dropout=dropout)
