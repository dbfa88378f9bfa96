"""Training of the networks: recipes, losses, the loop, data from files and phantoms."""
