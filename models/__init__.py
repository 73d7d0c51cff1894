"""The zoo: recurrent systems trained on real data. Each is a folder with its model, data, recipe and checkpoint."""
