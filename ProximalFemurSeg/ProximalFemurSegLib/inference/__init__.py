"""From an image on any grid to probability maps and labels on the same grid."""
