"""The one training of the zoo: a recipe, a loop that can be cut off and goes on with the same bits, and batches.

    fitted = fit(module, batches, loss, Recipe(steps=2000), validate=accuracy, folder=folder)

:func:`fit` knows nothing of tasks. It asks for batches epoch by epoch, for the loss of each, and now and then for a
score; it owns the optimiser, the schedule, the clipping of gradients, the average of the weights, early stopping, what
is logged, and what is saved.
"""

from .fitting import Fitted, fit
from .history import Record
from .recipe import Recipe
from .seeding import seeded

__all__ = ["Fitted", "Recipe", "Record", "fit", "seeded"]
